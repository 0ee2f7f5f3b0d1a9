// Brings every explorer on the page to life. The script runs once a figure, wherever it is shown: a
// static page, a notebook, Colab's sandboxed frame. It knows weights, not where they come from.
for (const figure of document.querySelectorAll("figure.attn-explorer:not([data-ready])")) {
  figure.dataset.ready = "";
  const part = (name) => figure.querySelector(name);
  const data = JSON.parse(part("script[type='application/json']").textContent);
  const {rows, columns, bits, names} = data;
  const signed = data.negative.includes(true);
  const count = rows * columns;
  const lists = {};
  for (const key of ["top", "largest", "sum", "entropy", "equal", "reach"]) lists[key] = data[key].split(" ");
  const bytes = Uint8Array.from(atob(data.weights), (letter) => letter.charCodeAt(0));
  const top = 2 ** bits - 1;
  const zero = signed ? (top - 1) / 2 : 0;
  const state = {group: data.group, row: data.row, column: data.column};
  let kept = [data.row, data.column];  // where the query goes back to when the mouse leaves

  // Weight of key j in the shown row, as a share of the row's largest: the bits of one number.
  const share = (j) => {
    const start = ((state.group * count + state.row * columns + state.column) * count + j) * bits;
    const word = (bytes[start >> 3] << 8) | bytes[(start >> 3) + 1];
    return (((word >> (16 - bits - (start & 7))) & top) - zero) / (signed ? zero : top);
  };
  const value = (name) => {
    const list = lists[name];
    return list.length === 1 ? list[0] : list[(state.group * count) + state.row * columns + state.column];
  };
  const place = (j) => `row ${Math.floor(j / columns)}, column ${j % columns}`;
  // What the bits can tell, and no more; below half a step nothing is known.
  const told = (j) => {
    const weight = share(j);
    if (weight === 0) return value("largest") === "0" ? "0" : "\u22480";
    return String(Number((weight * Number(value("largest"))).toPrecision(bits > 6 ? 2 : 1)));
  };

  const picture = part(".attn-picture"), frame = part(".attn-map");
  const still = frame.querySelector("img"), canvas = frame.querySelector("canvas");
  const context = canvas.getContext("2d");
  const photo = picture.querySelector("img");
  const cell = 16;
  let faded = null;

  // The picture behind the weights: grey, and two thirds of the way to white.
  const fade = () => {
    canvas.width = columns * cell;
    canvas.height = rows * cell;
    context.imageSmoothingEnabled = false;
    context.drawImage(photo, 0, 0, canvas.width, canvas.height);
    faded = context.getImageData(0, 0, canvas.width, canvas.height);
    const p = faded.data;
    for (let i = 0; i < p.length; i += 4) {
      const grey = 0.2126 * p[i] + 0.7152 * p[i + 1] + 0.0722 * p[i + 2];
      p[i] = p[i + 1] = p[i + 2] = 166 + 0.35 * grey;
    }
    still.hidden = true;
    canvas.hidden = false;
  };

  const mark = (element, row, column) => {
    element.style.left = `${(100 * column) / columns}%`;
    element.style.top = `${(100 * row) / rows}%`;
  };

  const fill = () => {
    let html = "<table><tr><td></td>";
    for (let c = 0; c < columns; c++) html += `<th scope="col">${c}</th>`;
    for (let r = 0; r < rows; r++) {
      html += `</tr><tr><th scope="row">${r}</th>`;
      for (let c = 0; c < columns; c++) {
        const here = r === state.row && c === state.column ? ' class="attn-here"' : "";
        html += `<td${here}>${told(r * columns + c)}</td>`;
      }
    }
    const step = `1/${signed ? zero : top} of the row's largest`;
    part(".attn-table").innerHTML = `${html}</tr></table>`;
    part(".attn-step").textContent = `Rounded to ${step}; \u22480 is less than half of that.`;
  };

  const note = part(".attn-note").textContent;
  const show = () => {
    part(".attn-note").textContent = note;
    if (faded) {
      context.putImageData(faded, 0, 0);
      for (let j = 0; j < count; j++) {
        const weight = share(j);
        context.fillStyle = weight < 0 ? `rgba(179, 88, 6, ${-weight})` : `rgba(33, 102, 172, ${weight})`;
        context.fillRect((j % columns) * cell, Math.floor(j / columns) * cell, cell, cell);
      }
    }
    for (const element of figure.querySelectorAll(".attn-mark")) mark(element, state.row, state.column);
    const peak = value("largest");
    part(".attn-high").textContent = peak;
    const below = data.negative[state.group];
    part(".attn-low").textContent = below ? `-${peak}` : "0";
    part(".attn-ramp").classList.toggle("attn-both", below);
    const entropy = value("entropy");
    const title = names.length ? `${data.parameter}: ${names[state.group]}. ` : "";
    const equal = value("equal");
    part(".attn-result").textContent = `${title}Query: ${place(state.row * columns + state.column)}. ` + (
      entropy === "nan" ? "It gives no weight to any position." :
      `Largest weight ${share(Number(value("top"))) < 0 ? "-" : ""}${peak} at ${place(Number(value("top")))}. ` +
      `Sum ${value("sum")}. Entropy ${below ? "of the sizes " : ""}${entropy}, as if ${equal} ${equal === "1" ? "position" : "positions"} ` +
      `shared equally. Reach ${value("reach")} steps.`);
    canvas.setAttribute("aria-label", `Weights over the picture. ${part(".attn-result").textContent}`);
    for (const input of figure.querySelectorAll("input")) {
      input.value = state[input.name];
      if (input.name === "group") {
        input.setAttribute("aria-valuetext", names[state.group]);
        input.nextElementSibling.textContent = names[state.group];
      } else input.nextElementSibling.textContent = state[input.name];
    }
    if (part("details").open) fill();
  };

  const within = (event, element) => {
    const box = element.getBoundingClientRect();
    const r = Math.floor(((event.clientY - box.top) / box.height) * rows);
    const c = Math.floor(((event.clientX - box.left) / box.width) * columns);
    return [Math.min(Math.max(r, 0), rows - 1), Math.min(Math.max(c, 0), columns - 1)];
  };
  const go = (row, column) => {
    [state.row, state.column] = [row, column];
    show();
  };
  const keep = (row, column) => {
    kept = [row, column];
    go(row, column);
  };
  // The mouse looks while it moves; a click, a tap, a key or a slider stays.
  picture.addEventListener("pointermove", (event) => {
    if (event.pointerType === "mouse" && !event.buttons) go(...within(event, picture));
    else if (event.buttons) keep(...within(event, picture));
  });
  picture.addEventListener("pointerdown", (event) => keep(...within(event, picture)));
  picture.addEventListener("pointerleave", () => go(...kept));
  // Over the weights: read the one under the pointer, keep the query.
  const read = (event) => {
    const [r, c] = within(event, frame);
    part(".attn-note").textContent = `Weight of row ${r}, column ${c}: ${told(r * columns + c)}`;
  };
  frame.addEventListener("pointermove", read);
  frame.addEventListener("pointerdown", read);

  const steps = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};
  picture.addEventListener("keydown", (event) => {
    const step = steps[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    keep(Math.min(Math.max(state.row + step[0], 0), rows - 1),
         Math.min(Math.max(state.column + step[1], 0), columns - 1));
  });
  for (const input of figure.querySelectorAll("input")) {
    input.addEventListener("input", () => {
      state[input.name] = Number(input.value);
      keep(state.row, state.column);
    });
  }
  part("details").addEventListener("toggle", show);

  picture.tabIndex = 0;
  picture.setAttribute("role", "application");
  picture.setAttribute("aria-label", `${photo.alt} Arrow keys move the query.`);
  part(".attn-controls").hidden = false;
  part("details").hidden = false;
  const start = () => { fade(); show(); };
  if (photo.complete && photo.naturalWidth) start();
  else photo.addEventListener("load", start);
}
