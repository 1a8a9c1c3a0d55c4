// Elements, words for screen readers, and dialogs. Text goes in as text, never as HTML.

/** @typedef {Node | string | number | null | undefined | false} Child */

const PROPERTIES = new Set(["checked", "value", "disabled", "hidden", "open", "tabIndex", "htmlFor", "selected"]);

/**
 * Makes an element. `on…` attributes are listeners; what is null, undefined or false is left out.
 *
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, unknown>} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") {
      element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    } else if (PROPERTIES.has(name)) {
      Reflect.set(element, name, value);
    } else {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  put(element, ...children);
  return element;
}

/**
 * Adds children to an element.
 *
 * @param {Element} parent
 * @param {...(Child | Child[])} children
 */
export function put(parent, ...children) {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    parent.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/**
 * Replaces what is in an element.
 *
 * @param {Element} parent
 * @param {...(Child | Child[])} children
 */
export function fill(parent, ...children) {
  parent.replaceChildren();
  put(parent, ...children);
}

/**
 * Sets the text of an element where it differs, so that nothing is read out twice.
 *
 * @param {Element} element
 * @param {string} text
 */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Sets the heading of a view, and with it the title of the tab.
 *
 * @param {Element} heading
 * @param {string} text
 */
export function entitle(heading, text) {
  say(heading, text);
  if (heading.isConnected) document.title = `${text} · neurofetch`;
}

/**
 * Finds an element of the page that must be there.
 *
 * @param {string} id
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

let last = 0;

/** Returns an id that no element has. */
export function freshId() {
  last += 1;
  return `n${last}`;
}

/**
 * Tells screen readers what happened.
 *
 * @param {string} text
 */
export function announce(text) {
  say(byId("polite"), text);
}

/**
 * Asks before something that cannot be taken back. The focus returns to where it was.
 *
 * @param {{title: string, text: string, yes: string, no?: string}} words
 * @returns {Promise<boolean>}
 */
export function ask({ title, text, yes, no = "Cancel" }) {
  const heading = freshId();
  const before = document.activeElement;
  return new Promise((resolve) => {
    const dialog = el(
      "dialog",
      { class: "dialog", "aria-labelledby": heading },
      el("h2", { id: heading }, title),
      el("p", {}, text),
      el(
        "div",
        { class: "buttons" },
        el("button", { type: "button", class: "button", onclick: () => dialog.close("no") }, no),
        el("button", { type: "button", class: "button primary", onclick: () => dialog.close("yes") }, yes),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
