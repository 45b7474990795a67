// @ts-check
// Settings: passwords can be shown, tokens copied, and a form that came back with mistakes has the focus on them.
import "./passwords.js";

/** @param {ParentNode} root */
function offerCopies(root) {
  // A browser gives the clipboard to pages over https, or of this machine, only.
  for (const button of root.querySelectorAll("button[data-copy][hidden]")) {
    /** @type {HTMLElement} */ (button).hidden = !navigator.clipboard;
  }
}

offerCopies(document);
document.addEventListener("sendonce:shown", (event) => offerCopies(/** @type {Element} */ (event.target)));
/** @type {HTMLElement | null} */ (document.querySelector("main [data-focus]"))?.focus();
