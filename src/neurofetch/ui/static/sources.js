// The first view: where the data come from, and where they go.

import { post } from "./api.js";
import { el, fill, freshId } from "./dom.js";
import { files, sentence, size } from "./format.js";
import { icon } from "./icons.js";
import { acting, emptyState } from "./parts.js";
import { go, hashOf } from "./router.js";
import { store } from "./store.js";

/** @import { Catalogue, Directory, Source } from "./types.js" */

const EXTRAS = ["stimuli", "freesurfer", "anatomical", "raw", "localizers"];

/**
 * @typedef {{fields: HTMLElement[], read: () => Record<string, unknown>, folder: () => string}} Form
 */

/**
 * @param {string} label
 * @param {string} hint
 * @param {Record<string, unknown>} attributes
 */
function field(label, hint, attributes) {
  const [id, about] = [freshId(), freshId()];
  const input = el("input", {
    id,
    type: "text",
    autocomplete: "off",
    spellcheck: "false",
    "aria-describedby": about,
    title: attributes.pattern && hint, // browsers say it where the text is of another form
    ...attributes,
  });
  const element = el(
    "div",
    { class: "field" },
    el("label", { htmlFor: id }, label),
    input,
    el("p", { class: "hint", id: about }, hint),
  );
  return { input, element };
}

/** @type {Record<string, () => Form>} */
const FORMS = {
  laion: () => {
    const boxes = EXTRAS.map((name) => el("input", { type: "checkbox", value: name }));
    const group = el(
      "fieldset",
      { class: "checks" },
      el("legend", {}, "Also"),
      boxes.map((box) => el("label", {}, box, box.value)),
    );
    const chosen = () => boxes.filter((box) => box.checked).map((box) => box.value);
    return { fields: [group], read: () => ({ extras: chosen() }), folder: () => "laion-fmri" };
  },
  openneuro: () => {
    const set = field("Data set", "Its accession number, as ds000246", {
      placeholder: "ds000246",
      required: true,
      pattern: "\\s*ds[0-9]{6}(@.+)?\\s*",
    });
    const version = field("Version", "As 1.0.1. Leave it empty for the newest.", {});
    const read = () => ({ data_set: set.input.value.trim(), version: version.input.value.trim() });
    const folder = () => set.input.value.trim().split("@")[0] ?? "";
    return { fields: [set.element, version.element], read, folder };
  },
  neurovault: () => {
    const words = field("Search for", "Words, such as working memory", {});
    const numbers = field("Or collections", "Their numbers, as 1952, 503", { inputmode: "numeric", pattern: "[0-9\\s,;]*" });
    const update = el("input", { type: "checkbox" });
    const renew = el("label", { class: "check" }, update, "Ask NeuroVault for what is new first (the first time this takes some minutes)");
    const read = () => {
      const ids = numbers.input.value.match(/\d+/g)?.map(Number) ?? [];
      return ids.length > 0 ? { collections: ids } : { search: words.input.value.trim(), update: update.checked };
    };
    return { fields: [words.element, numbers.element, renew], read, folder: () => "" }; // its files come into a folder "neurovault" by themselves
  },
  bucket: () => {
    const url = field("Address", "A data set or a part of one", {
      placeholder: "s3://openneuro.org/ds000001",
      required: true,
      pattern: "\\s*s3://.+",
    });
    const region = field("Region", "Leave it empty unless the bucket's owners name one", {});
    const profile = field("Profile", "For a bucket that is not public: the name of one in your AWS files", {});
    const read = () => ({ url: url.input.value.trim(), region: region.input.value.trim(), profile: profile.input.value.trim() });
    const folder = () => url.input.value.trim().replace(/\/+$/, "").split("/").pop() ?? "";
    return { fields: [url.element, region.element, profile.element], read, folder };
  },
  directory: () => ({ fields: [], read: () => ({}), folder: () => "" }),
};

/**
 * @param {HTMLElement} root
 * @param {AbortSignal} signal
 */
export function showSources(root, signal) {
  const panel = el("div", { class: "panel source-form", hidden: true });
  const cards = el("div", { class: "cards", role: "radiogroup", "aria-label": "Source" });
  const lists = el("section", { class: "recent", "aria-label": "Lists that are open" });
  put(root);

  /** @param {HTMLElement} into */
  function put(into) {
    fill(
      into,
      el("h1", { tabIndex: -1 }, "What would you like to fetch?"),
      el("p", { class: "lead" }, "Choose where the data come from. Nothing is fetched before you have seen the plan."),
      cards,
      panel,
      lists,
    );
  }

  const drawCards = () => {
    const chosen = cards.querySelector("input:checked");
    const kind = chosen instanceof HTMLInputElement ? chosen.value : "";
    fill(cards, store.sources.map((source) => card(source, source.kind === kind, open)));
  };
  /** @param {Source} source */
  function open(source) {
    panel.hidden = false;
    fill(panel, sourceForm(source));
  }
  const drawLists = () => {
    const open = [...store.catalogues.values()].reverse();
    lists.hidden = open.length === 0;
    fill(lists, el("h2", {}, "Lists that are open"), el("ul", { class: "rows" }, open.map(listRow)));
  };
  store.addEventListener("directories", drawCards, { signal });
  store.onCatalogue(drawLists, signal);
  drawCards();
  drawLists();
}

/**
 * @param {Source} source
 * @param {boolean} checked
 * @param {(source: Source) => void} open
 */
function card(source, checked, open) {
  const [title, about] = [freshId(), freshId()];
  return el(
    "label",
    { class: source.ready ? "card" : "card not-ready" },
    el("input", {
      type: "radio",
      name: "source",
      value: source.kind,
      checked,
      disabled: !source.ready,
      "aria-labelledby": title,
      "aria-describedby": about,
      onchange: () => open(source),
    }),
    icon(source.kind),
    el("span", { class: "card-title", id: title }, source.title),
    el("span", { class: "card-about", id: about }, source.ready ? source.about : source.why),
  );
}

/** @param {Source} source */
function sourceForm(source) {
  const make = FORMS[source.kind];
  if (!make) return emptyState("warning", source.title, "This page does not know this source. Use the command.");
  const { fields, read, folder } = make();
  const here = source.kind === "directory";
  const place = placeFields(here, folder);
  const failed = el("div");
  const button = el("button", { type: "submit", class: "button primary" }, here ? "See what is here" : "List its files");
  const form = el(
    "form",
    {
      "aria-label": source.title,
      oninput: place.suggest,
      onsubmit: (/** @type {Event} */ event) => {
        event.preventDefault();
        void acting(button, failed, async () => {
          const to = place.read();
          /** @type {Catalogue} */
          const made = await post("api/catalogues", { source: { kind: source.kind, ...read() }, to });
          store.keepCatalogue(made);
          go(["choose", made.catalogue]);
        });
      },
    },
    fields.length > 0 && el("div", { class: "fields" }, fields),
    el("div", { class: "fields" }, place.elements),
    failed,
    el("div", { class: "buttons" }, button),
  );
  return form;
}

/**
 * Makes the fields for a directory and a folder in it.
 *
 * @param {boolean} here Whether the folder must be there.
 * @param {() => string} suggestion
 */
function placeFields(here, suggestion) {
  const [select, list] = [freshId(), freshId()];
  const usable = store.directories.filter((one) => here || one.writable);
  const directory = el(
    "select",
    { id: select, required: true, onchange: () => known() },
    usable.map((one) => el("option", { value: one.directory }, one.name)),
  );
  const folder = field("Folder", here ? "Leave it empty for the whole directory" : "One name, of letters, digits and . _ + - or spaces. Made if it is not there.", {
    list,
    pattern: "[A-Za-z0-9][A-Za-z0-9._+ \\-]*",
    maxlength: "100",
    oninput: () => (touched = true),
  });
  let touched = false;
  const options = el("datalist", { id: list });
  const free = el("p", { class: "hint" });
  /** @returns {Directory | undefined} */
  const chosen = () => store.directory(directory.value);
  const known = () => {
    const one = chosen();
    fill(options, one?.folders.map((name) => el("option", { value: name })) ?? []);
    fill(free, one ? (one.free === null ? "" : `${size(one.free)} free`) : "No directory here can be written to.");
    suggest();
  };
  const suggest = () => {
    const one = chosen();
    if (touched || here || !one) return;
    folder.input.value = one.data_set ? "" : suggestion().replace(/[^A-Za-z0-9._+-]/g, "");
  };
  known();
  const elements = [
    el("div", { class: "field" }, el("label", { htmlFor: select }, here ? "Directory" : "Into"), directory, free),
    folder.element,
    options,
  ];
  return { elements, suggest, read: () => ({ directory: directory.value, folder: folder.input.value.trim() }) };
}

/** @param {Catalogue} catalogue */
function listRow(catalogue) {
  const state = {
    listing: `listing: ${files(catalogue.listed)} so far`,
    ready: `${files(catalogue.files)}, ${size(catalogue.bytes)}`,
    failed: sentence(catalogue.error?.message ?? "It could not be listed."),
    stopped: "stopped",
  }[catalogue.state];
  const where = catalogue.state === "ready" && catalogue.place ? ` · ${catalogue.source.kind === "directory" ? "in" : "into"} ${catalogue.place}` : "";
  return el(
    "li",
    {},
    el(
      "a",
      { href: hashOf(["choose", catalogue.catalogue]) },
      icon(catalogue.source.kind),
      el("span", { class: "row-title" }, catalogue.title),
      el("span", { class: "row-about" }, state, where),
    ),
  );
}
