// One case: the film's viewer, the name that was typed last, and news of this case.
import { listen } from "./live.js";
import { Viewer } from "./viewer.js";

const NAME_KEY = "waypost-name";
const sheet = document.getElementById("case");
const film = document.getElementById("film");
const actor = document.getElementById("actor");

if (film.querySelector(".film-image")) {
  // A film that cannot be decoded stays the browser's plain image with its text.
  new Viewer(film).start().catch(() => {});
}

// The name is kept for this tab alone: the next person at a shared screen must not sign as another.
try {
  if (!actor.value) actor.value = sessionStorage.getItem(NAME_KEY) ?? "";
  actor.form.addEventListener("submit", () => sessionStorage.setItem(NAME_KEY, actor.value));
} catch { /* without storage the name is typed each time */ }

/** Look whether the news is about this case: one that waited shows itself, others only tell. */
async function look() {
  const answer = await fetch(`/api/study/${sheet.dataset.id}`).catch(() => null);
  if (!answer?.ok) return;
  const now = await answer.json();
  if (now.mark === sheet.dataset.caseMark) return;
  const typing = actor.form.elements.comment.value !== "";
  if (sheet.dataset.waits === "yes" && !typing) location.reload();
  else document.getElementById("changed").hidden = false;
}
listen(sheet.dataset.mark, look, () => {});
