// @ts-check
// A run's page: what is said of it aloud, a list that stays as it was read, and the way back with Escape.
import { announce } from "./forms.js";
import { bringUpToDate } from "./list.js";

const SAY_AT_MOST_EVERY = 15_000;
const QUARTER = 25;

const state = () => /** @type {HTMLElement} */ (document.getElementById("run-state"));
const bar = () => state().querySelector("[role=progressbar]");
const quarter = () => Math.floor(Number(bar()?.getAttribute("aria-valuenow")) / QUARTER);
const headline = () => state().querySelector("strong")?.textContent ?? "";

let status = state().dataset.status;
let told = quarter();
let toldAt = 0;

/** Says a run's quarters, and when it pauses, fails or ends. */
function say() {
  if (state().dataset.status !== status) {
    status = state().dataset.status;
    told = quarter();
    toldAt = Date.now();
    return announce(headline());
  }
  if (quarter() <= told || Date.now() - toldAt < SAY_AT_MOST_EVERY) return;
  told = quarter();
  toldAt = Date.now();
  announce(bar()?.getAttribute("aria-valuetext") ?? "");
}

const list = document.getElementById("deliveries");
const pill = document.querySelector("[data-changed-pill]");
const count = () =>
  Number(document.querySelector("#delivery-tabs [aria-current] .count")?.textContent?.replaceAll(",", ""));
let read = count();

/** A list of some states alone is not sorted anew while somebody reads it: it says that it has changed. */
function compare() {
  if (!(pill instanceof HTMLElement) || !list?.hasAttribute("data-still")) return;
  const changed = Math.abs(count() - read);
  pill.hidden = !changed;
  const words = pill.querySelector("span");
  if (words) words.textContent = `${changed.toLocaleString("en")} changed: bring the list up to date`;
}

pill?.querySelector("a")?.addEventListener("click", (event) => {
  event.preventDefault();
  bringUpToDate("deliveries");
  list?.focus();
});
document.addEventListener("sendonce:listed", () => {
  read = count();
  compare();
});

/** @param {KeyboardEvent} event */
function goBack(event) {
  if (event.key !== "Escape" || event.defaultPrevented || document.cookie.split("; ").includes("keys=off")) return;
  const target = /** @type {Element} */ (event.target);
  // Escape closes what is open first, and leaves a field to itself.
  if (target.closest("input, select, textarea, dialog") || document.querySelector("dialog[open], details[open], :popover-open")) return;
  /** @type {HTMLElement | null} */ (document.querySelector("[data-back]"))?.click();
}

document.addEventListener("sendonce:refreshed", () => {
  say();
  compare();
});
// Before app.js closes a menu on the same key.
document.addEventListener("keydown", goBack, true);
