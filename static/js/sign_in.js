// @ts-check
// The sign-in page: passwords can be shown, and the wait after too many tries counts down.
import "./passwords.js";

const waits = /** @type {HTMLElement | null} */ (document.querySelector("[data-wait]"));
const left = waits?.querySelector("[data-wait-left]");
if (waits && left) {
  const over = Date.now() + Number(waits.dataset.wait) * 1000;
  const timer = setInterval(() => {
    const seconds = Math.ceil((over - Date.now()) / 1000);
    if (seconds > 0) {
      left.textContent = seconds > 90 ? `${Math.ceil(seconds / 60)} min` : `${seconds} s`;
      return;
    }
    clearInterval(timer);
    waits.textContent = "You can try again now.";
  }, 1000);
}
