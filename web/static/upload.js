// Upload one file after the other, with progress, and an answer for each.
const form = document.getElementById("drop");
const input = document.getElementById("files");
const answers = document.getElementById("answers");
const limit = Number(form.dataset.limit);
const waiting = [];
let busy = false;

/** Make an element with a class and text; text only, so that a file's name is never markup. */
function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}

/** A shape of the page's own set, by its key. */
function shape(key) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [name, value] of [["width", 14], ["height", 14], ["viewBox", "0 0 16 16"], ["aria-hidden", "true"]]) {
    svg.setAttribute(name, value);
  }
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#s-${key}`);
  svg.append(use);
  return svg;
}

/** Fill a row with what became of a file. */
function fill(row, answer) {
  const name = make("p");
  name.append(make("bdi", "file", answer.name));
  const line = make("p");
  const state = make("span", `state ${answer.key}`);
  state.append(shape(answer.key), ` ${answer.word}`);
  line.append(state);
  if (answer.href) {
    const link = make("a", "act", "Open the case");
    link.href = answer.href;
    line.append(link);
  }
  row.replaceChildren(name, line);
  if (answer.text) row.append(make("p", "beside", answer.text));
}

function notKept(name, text) {
  return { name, key: "failed", word: "not kept", text, href: null };
}

/** Send one file; fetch cannot tell how far an upload is, XMLHttpRequest can. */
function send(file, progress) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    const body = new FormData();
    body.append("files", file, file.name);
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "application/json");
    request.responseType = "json";
    request.upload.onprogress = (event) => { if (event.lengthComputable) progress(event.loaded / event.total); };
    request.onerror = () => resolve([notKept(file.name, "The box did not answer. Check that it is on, then send the file again.")]);
    request.onload = () => {
      const found = request.response?.answers;
      if (request.status === 200 && found?.length) resolve(found);
      else resolve([notKept(file.name, request.response?.text ?? "The box did not take it. Send the file again.")]);
    };
    request.send(body);
  });
}

/** Take the next file that waits. */
async function work() {
  if (busy) return;
  busy = true;
  for (let next = waiting.shift(); next; next = waiting.shift()) {
    const { file, row, bar } = next;
    const tooLarge = file.size > limit;
    const found = tooLarge
      ? [notKept(file.name, "This is larger than the box accepts. Send it over DICOM from the modality.")]
      : await send(file, (share) => { bar.value = share; });
    let place = row;
    found.forEach((answer, index) => {
      const target = index === 0 ? row : make("li");
      fill(target, answer);
      if (index > 0) place.after(target);
      place = target;
    });
  }
  busy = false;
}

function add(files) {
  for (const file of files) {
    const row = make("li");
    const name = make("p");
    const bar = make("progress");
    bar.max = 1;
    bar.value = 0;
    bar.setAttribute("aria-label", `Sending ${file.name}`);
    name.append(make("bdi", "file", file.name));
    row.append(name, bar);
    answers.append(row);
    waiting.push({ file, row, bar });
  }
  work();
}

form.querySelector(".drop-hint").hidden = false;
form.querySelector("button").hidden = true; // choosing is enough when the script runs
input.addEventListener("change", () => { add(input.files); input.value = ""; });
form.addEventListener("submit", (event) => { event.preventDefault(); add(input.files); });
for (const type of ["dragenter", "dragover"]) {
  form.addEventListener(type, (event) => { event.preventDefault(); form.classList.add("over"); });
}
for (const type of ["dragleave", "drop"]) form.addEventListener(type, () => form.classList.remove("over"));
form.addEventListener("drop", (event) => { event.preventDefault(); add(event.dataTransfer.files); });
// A film dropped beside the frame must not make the browser open it in place of the page.
for (const type of ["dragover", "drop"]) addEventListener(type, (event) => event.preventDefault());
