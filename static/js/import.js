// @ts-check
// While a file is imported or looked through, the page brings itself up to date; a file that is too large is told
// before it is sent. Leaving the page stops nothing: the server does the work.
import { announce } from "./forms.js";
import { refresh } from "./live.js";

const LOOK_EVERY = 1000;
const QUARTER = 25;

let looking = false;
let told = 0;

async function look() {
  const running = document.querySelector("[data-importing]");
  if (!running || looking || document.hidden) return;
  looking = true;
  try {
    await refresh();
    say();
  } catch {
    // No connection: the shell says so, and the next look finds out.
  }
  looking = false;
}

/** Says to screen readers how far it is, at each quarter, and how it ended. */
function say() {
  const bar = /** @type {HTMLProgressElement | null} */ (document.querySelector("[data-importing] progress"));
  if (!bar) return announce(document.querySelector("[data-import-ended]")?.textContent?.trim() ?? "");
  const quarter = Math.floor(bar.value / QUARTER) * QUARTER;
  if (quarter > told) announce(`${quarter} %`);
  told = Math.max(told, quarter);
}

/** @param {Event} event */
function checkSize(event) {
  const input = /** @type {HTMLInputElement} */ (event.target);
  const most = Number(input.dataset.mostBytes);
  if (input.type !== "file" || !most) return;
  const isTooLarge = (input.files?.[0]?.size ?? 0) > most;
  input.setCustomValidity(isTooLarge ? (input.dataset.tooLarge ?? "") : "");
  input.reportValidity();
}

/** A dialog that changed something and is closed leaves a page that does not show it. @param {Event} event */
function onClose(event) {
  if (/** @type {Element} */ (event.target).querySelector("[data-changed]")) refresh();
}

document.addEventListener("change", checkSize);
document.addEventListener("close", onClose, true);
setInterval(look, LOOK_EVERY);
