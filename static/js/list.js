// @ts-check
// Lists that are searched: the list follows what is typed, and the address with it; without a script the form does it.
import { problem } from "./forms.js";
import { refresh } from "./live.js";

const PAUSE = 250;

/** @type {number | undefined} */
let soon;

/** Brings the list up to date for what stands in its search field. @param {HTMLFormElement} form */
async function search(form) {
  const to = new URL(form.action);
  for (const [name, value] of new FormData(form)) {
    if (value || name !== "q") to.searchParams.append(name, String(value));
  }
  history.replaceState(null, "", to);
  await bringUpToDate(form.dataset.search ?? "");
}

/** Fetches a list again, also one that does not change by itself. @param {string} id */
export async function bringUpToDate(id) {
  const list = document.getElementById(id);
  const isStill = list && !list.hasAttribute("data-live");
  if (isStill) list.setAttribute("data-live", "");
  try {
    await refresh();
    document.dispatchEvent(new CustomEvent("sendonce:listed"));
  } catch {
    problem("There is no connection to Sendonce, so the list is as it was.");
  }
  if (isStill) list.removeAttribute("data-live");
}

document.addEventListener("input", (event) => {
  const form = /** @type {Element} */ (event.target).closest("form");
  if (!form?.matches("[data-search]")) return;
  clearTimeout(soon);
  soon = setTimeout(() => search(form), PAUSE);
});
document.addEventListener("submit", (event) => {
  const form = /** @type {HTMLFormElement} */ (event.target);
  if (!form.matches("[data-search]")) return;
  event.preventDefault();
  clearTimeout(soon);
  search(form);
});
