// @ts-check
// What every page has: times that stay right, forms and dialogs without leaving the page, keys, and live updates.
import "./live.js";
import { announce } from "./forms.js";

const SECOND = 1000;
const calm = document.documentElement.dataset.motion === "reduce" || matchMedia("(prefers-reduced-motion: reduce)").matches;

/** The server's clock minus this browser's, in milliseconds: countdowns follow the server. */
let offset = Date.parse(document.querySelector('meta[name="now"]')?.getAttribute("content") ?? "") - Date.now() || 0;

/** @param {CustomEvent<{now: string, last_tick: string | null, status: string}>} event */
function onBeat(event) {
  const { now, last_tick: tick, status } = event.detail;
  offset = Date.parse(now) - Date.now();
  for (const beat of document.querySelectorAll("[data-heartbeat]")) {
    beat.setAttribute("data-last-tick", tick ?? "");
    beat.setAttribute("data-status", status);
    const word = beat.querySelector("[data-word]");
    if (word) word.textContent = status[0].toUpperCase() + status.slice(1);
  }
}

/** @param {number} seconds @returns {string} as web/shown.py writes it */
function duration(seconds) {
  if (seconds < 1) return "less than a second";
  const whole = Math.round(seconds);
  const parts = /** @type {[number, string][]} */ ([
    [Math.floor(whole / 86400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ]);
  return parts.filter(([amount]) => amount).slice(0, 2).map(([amount, unit]) => `${amount} ${unit}`).join(" ");
}

/** @param {Element} time @param {number} now */
function countDown(time, now) {
  const away = (Date.parse(time.getAttribute("datetime") ?? "") - now) / SECOND;
  if (Number.isNaN(away)) return;
  let words;
  if (time.getAttribute("data-countdown") === "clock") {
    const left = Math.max(0, Math.ceil(away));
    words = left ? `in ${String(Math.floor(left / 60)).padStart(2, "0")}:${String(left % 60).padStart(2, "0")}` : "now";
  } else {
    words = Math.abs(away) < 1 ? "now" : away > 0 ? `in ${duration(away)}` : `${duration(-away)} ago`;
  }
  if (time.textContent !== words) time.textContent = words;
}

function tick() {
  const now = Date.now() + offset;
  for (const time of document.querySelectorAll("time[data-countdown]")) countDown(time, now);
  for (const beat of document.querySelectorAll("[data-heartbeat]")) {
    const seconds = Math.max(0, (now - Date.parse(beat.getAttribute("data-last-tick") ?? "")) / SECOND);
    const age = beat.querySelector("[data-tick-age]");
    if (!age || Number.isNaN(seconds)) continue;
    const last = beat.getAttribute("data-status") === "stopped" ? "last " : "";
    age.textContent = `${last}tick ${seconds < 10 ? `${seconds.toFixed(1)} s` : duration(seconds)} ago`;
  }
}

function rememberZone() {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!zone || document.cookie.split("; ").includes(`zone=${zone}`)) return;
  document.cookie = `zone=${zone}; path=/; max-age=31536000; samesite=lax`;
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  if (document.cookie.split("; ").includes("keys=off")) return;
  const target = /** @type {HTMLElement} */ (event.target);
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || target.closest("input, select, textarea, [contenteditable], dialog")) return;
  if (event.key === "j" || event.key === "k") return moveRow(event.key === "j" ? 1 : -1);
  const key = CSS.escape(event.key);
  // A key that belongs to a row does nothing unless that row has the focus: nobody pauses the first one by accident.
  const found = /** @type {HTMLElement | null} */ (
    target.closest("[data-row]")?.querySelector(`[data-row-key="${key}"]`) ?? document.querySelector(`[data-key="${key}"]`)
  );
  if (found) {
    event.preventDefault();
    // A field is for typing; from a menu's button the next Tab leads into its menu.
    if (found.matches("input, select, textarea, [popovertarget]")) found.focus();
    if (!found.matches("input, select, textarea")) found.click();
    return;
  }
  if (event.key === "Enter" && target.matches("[data-row]")) {
    /** @type {HTMLElement | null} */ (target.querySelector("[data-open]"))?.click();
  }
}

/** @param {number} step */
function moveRow(step) {
  const rows = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-row]")]);
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  rows[Math.min(rows.length - 1, Math.max(0, at + step))]?.focus();
}

let holds = Boolean(document.querySelector("#holding [data-row]"));

/** Says what a screen reader's user would miss: that something is due and can be taken back. */
function sayWhatChanged() {
  const due = document.querySelector("#holding [data-row]");
  if (due && !holds) announce("A campaign is due. It can still be taken back, on top of the page.");
  holds = Boolean(due);
}

/** A message stays for 8 seconds, longer while it is pointed at. @param {Element} toasts */
function clearLater(toasts) {
  setTimeout(() => {
    if (toasts.matches(":hover, :focus-within")) clearLater(toasts);
    else toasts.replaceChildren();
  }, 8 * SECOND);
}

rememberZone();
/** @type {HTMLElement | null} */ (document.querySelector("[data-focus]"))?.focus();
tick();
setInterval(tick, calm ? 10 * SECOND : SECOND);
document.addEventListener("keydown", onKey);
document.addEventListener("sendonce:beat", /** @type {EventListener} */ (onBeat));
document.addEventListener("sendonce:refreshed", sayWhatChanged);
document.addEventListener("sendonce:said", () => {
  const toasts = document.getElementById("toasts");
  if (toasts?.childElementCount) clearLater(toasts);
});
document.dispatchEvent(new CustomEvent("sendonce:said"));
// Menus made of <details> close when the pointer or the focus goes elsewhere, or on Escape.
for (const kind of ["pointerdown", "focusin", "keydown"]) {
  document.addEventListener(kind, (event) => {
    for (const menu of document.querySelectorAll("details.account-menu[open], details.nav-menu[open]")) {
      const escaped = event instanceof KeyboardEvent ? event.key === "Escape" : !menu.contains(/** @type {Node} */ (event.target));
      if (escaped) menu.removeAttribute("open");
    }
  });
}
