// @ts-check
// Settings: passwords can be shown, and tokens copied.
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
