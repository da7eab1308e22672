// The worklist: rows that change by themselves without losing focus or place, and on a desk the
// film of the row at hand.
import { listen } from "./live.js";

const AGAIN_MS = 4000;
const MINUTE_MS = 60000;

const list = document.getElementById("list");
const status = document.getElementById("live");
const peek = document.getElementById("peek");
let atHand = null; // the id of the row whose film stands beside the list
let fetching = false;
let again = false;

// --- rows ---------------------------------------------------------------------------------------

/** Fetch the list as it is now; one fetch at a time, and one more when news came meanwhile. */
async function refresh() {
  if (fetching) { again = true; return; }
  fetching = true;
  try {
    const answer = await fetch(`/worklist/rows${location.search}`, { headers: { Accept: "text/html" } });
    if (!answer.ok) throw new Error(String(answer.status));
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    swap(page.querySelector(".rows"));
  } catch {
    setTimeout(refresh, AGAIN_MS); // the status line already says that the page is not live
  }
  fetching = false;
  if (again) { again = false; refresh(); }
}

/** Put in what differs, and leave every other element alone: images stay, and so does the focus. */
function swap(fresh) {
  const focused = document.activeElement?.closest?.(".case")?.id;
  const rows = list.querySelector(".rows");
  rows.dataset.mark = fresh.dataset.mark;
  for (const selector of [".tabs", ".pager", ".empty"]) replacePart(rows, fresh, selector);
  const cases = rows.querySelector(".cases");
  const wanted = [...fresh.querySelectorAll(".case")];
  const keep = new Set(wanted.map((row) => row.id));
  for (const row of [...cases.children]) if (!keep.has(row.id)) row.remove();
  wanted.forEach((row, index) => {
    const old = document.getElementById(row.id);
    const node = old ? merged(old, row) : document.adoptNode(row);
    if (cases.children[index] !== node) cases.insertBefore(node, cases.children[index] ?? null);
  });
  if (focused && document.activeElement?.closest?.(".case")?.id !== focused) {
    document.getElementById(focused)?.querySelector("a")?.focus({ preventScroll: true });
  }
  choose(document.getElementById(atHand) ?? cases.firstElementChild);
}

/** Return the row to show: the old element when it says the same but for the waiting time. */
function merged(old, row) {
  if (old.dataset.mark === row.dataset.mark) {
    old.querySelector(".wait").textContent = row.querySelector(".wait").textContent;
    return old;
  }
  const fresh = document.adoptNode(row);
  old.replaceWith(fresh);
  return fresh;
}

/** Replace a part around the rows when it differs; it may come and go. */
function replacePart(rows, fresh, selector) {
  const old = rows.querySelector(selector);
  const part = fresh.querySelector(selector);
  if (old?.outerHTML === part?.outerHTML) return;
  if (old && part) old.replaceWith(document.adoptNode(part));
  else if (old) old.remove();
  else rows.append(document.adoptNode(part));
}

// --- the film beside the list -------------------------------------------------------------------

/** Show the film of a row beside the list; on a phone the style sheet keeps that place hidden. */
function choose(row) {
  for (const other of list.querySelectorAll(".at-hand")) other.classList.remove("at-hand");
  peek.hidden = !row;
  if (!row) { atHand = null; return; }
  atHand = row.id;
  row.classList.add("at-hand");
  const link = row.querySelector("h2 a");
  const hasFilm = row.querySelector(".thumb img") !== null;
  const wide = getComputedStyle(peek).display !== "none";
  peek.querySelector(".peek-link").hidden = !hasFilm;
  peek.querySelector(".peek-none").hidden = hasFilm;
  peek.querySelector("bdi").textContent = link.textContent;
  peek.querySelector("a").href = link.href;
  const image = peek.querySelector("img");
  const source = `${link.href}/film.png`;
  if (hasFilm && wide && image.src !== source) image.src = source;
  image.alt = `Film of ${link.textContent}`;
}

/** Go to the next or previous row with the keys of mail readers. */
function step(by) {
  const rows = [...list.querySelectorAll(".case")];
  const now = document.activeElement?.closest?.(".case");
  const next = now ? rows[rows.indexOf(now) + by] : rows[0];
  next?.querySelector("h2 a").focus();
}

list.addEventListener("focusin", (event) => {
  const row = event.target.closest(".case");
  if (row) choose(row);
});
list.addEventListener("mouseover", (event) => {
  const row = event.target.closest(".case");
  if (row && row.id !== atHand) choose(row);
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "j") step(1);
  if (event.key === "k") step(-1);
});

// --- news ---------------------------------------------------------------------------------------

listen(list.querySelector(".rows").dataset.mark, refresh, (isLive) => {
  status.hidden = false;
  status.classList.toggle("off", !isLive);
  const text = isLive ? "live" : "not live: trying again";
  if (status.textContent !== text) status.textContent = text; // said once, not at each event
});
setInterval(refresh, MINUTE_MS); // the waiting times
choose(list.querySelector(".case"));
