// Sorts and filters every table on the page that waits for it. The script runs once a figure,
// wherever it is shown: a static page, a notebook, a sandboxed frame.
for (const figure of document.querySelectorAll("figure.attn-sortable:not([data-ready])")) {
  figure.dataset.ready = "";
  const part = (name) => figure.querySelector(name);
  const body = part("tbody");
  const rows = [...body.rows];
  const heads = [...part("thead").rows[0].cells];
  const names = heads.map((head) => head.textContent);
  const sorted = {column: -1, way: 1};
  let words = [];

  const tell = () => {
    const shown = rows.filter((row) => !row.hidden).length;
    let text = `${shown} of ${rows.length} rows`;
    if (sorted.column >= 0) {
      const numbers = heads[sorted.column].classList.contains("attn-number");
      const first = numbers ? ["largest", "smallest"] : ["from Z to A", "from A to Z"];
      text += `, by ${names[sorted.column]}: ${first[sorted.way > 0 ? 1 : 0]}${numbers ? " first" : ""}`;
    }
    part(".attn-count").textContent = text + ".";
  };
  // Numbers by size, words by letter, what is missing last either way; equal ones keep the book's order.
  const compare = (a, b) => {
    const [x, y] = [a, b].map((row) => row.cells[sorted.column].dataset);
    if (("none" in x) || ("none" in y)) return ("none" in x) - ("none" in y);
    const step = "key" in x && "key" in y
      ? x.key - y.key
      : a.cells[sorted.column].textContent.localeCompare(b.cells[sorted.column].textContent, "en");
    return sorted.way * step;
  };
  const sort = (column) => {
    sorted.way = sorted.column === column ? -sorted.way : 1;
    sorted.column = column;
    heads.forEach((head, n) => {
      if (n === column) head.setAttribute("aria-sort", sorted.way > 0 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    body.append(...[...rows].sort(compare));
    tell();
  };
  const filter = () => {
    for (const row of rows) {
      const text = [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    tell();
  };
  const view = (name) => {
    const columns = name ? JSON.parse(part(".attn-tools").dataset.views)[name] : null;
    for (const row of [part("thead").rows[0], ...rows]) {
      [...row.cells].forEach((cell, n) => { cell.hidden = Boolean(columns) && n > 0 && !columns.includes(n); });
    }
  };

  heads.forEach((head, n) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = names[n];
    button.addEventListener("click", () => sort(n));
    head.replaceChildren(button);
  });
  part("input[type='search']").addEventListener("input", (event) => {
    words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    filter();
  });
  for (const radio of figure.querySelectorAll("input[type='radio']")) {
    radio.addEventListener("change", () => view(radio.value));
    if (radio.checked) view(radio.value);
  }
  // Chapters are where the links say on the built page alone.
  if (!figure.closest("article")) {
    for (const link of figure.querySelectorAll("tbody a")) link.replaceWith(...link.childNodes);
  }
  part(".attn-tools").hidden = false;
}
