// What the theme and the extensions leave without a name, or with a wrong role, for screen readers.

// The button says "Search Ctrl+K" where there is room: its name is what it says.
for (const button of document.querySelectorAll("button.search-button-field")) {
  button.setAttribute("aria-label", button.textContent.replace(/\s+/g, " ").trim());
}

// An arrow in the sidebar opens the pages below the page beside it.
for (const arrow of document.querySelectorAll("details > summary")) {
  const page = arrow.closest("li")?.querySelector("a");
  if (page && !arrow.textContent.trim()) {
    arrow.setAttribute("aria-label", `Pages below ${page.textContent.trim()}`);
  }
}

// The parameters of a long signature are the descriptions of a list that has no term.
for (const list of document.querySelectorAll("dt.sig dl")) {
  const term = document.createElement("dt");
  term.className = "visually-hidden";
  term.textContent = "Parameters";
  list.prepend(term);
}
