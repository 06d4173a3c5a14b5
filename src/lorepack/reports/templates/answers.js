// The answer browser: all facts as columns of numbers, of which only the rows in view are elements.
(function () {
  "use strict";
  const form = document.getElementById("answer-filters");
  const list = document.getElementById("answer-list");
  const spacer = list.firstElementChild;
  const detail = document.getElementById("answer-detail");
  const counted = document.getElementById("answer-count");
  const PARTS = ["not in the mix", "trained", "rehearsed"];
  const SPARE = 6; // rows made outside the view, so that a slow frame shows no gap
  let data, haystack, shown = [], active = -1, rowHeight = 64;

  async function unzipped(text) {
    const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
    if (typeof DecompressionStream === "undefined") return new TextDecoder().decode(inflated(bytes));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  const text = (number) => data.texts[number];
  const said = (when, row) => data.said[when][row]; // text, 2 * times + right, and so on

  function element(name, content, css) {
    const made = document.createElement(name);
    if (css) made.className = css;
    if (content !== undefined) made.textContent = content;
    made.dir = "auto";
    return made;
  }

  function lower(row) { // what a search looks through, made when it is first asked for
    if (haystack[row] === undefined) {
      const numbers = [data.question[row], data.answer[row]];
      for (const when of [0, 1]) said(when, row).forEach((part, n) => { if (n % 2 === 0) numbers.push(part); });
      haystack[row] = (numbers.map(text).join("\n") + "\n" + data.ids[row]).toLowerCase();
    }
    return haystack[row];
  }

  function prepare(row) { // between two frames, so that the first search need not
    requestIdleCallback((left) => {
      while (row < haystack.length && left.timeRemaining() > 2) lower(row++);
      if (row < haystack.length) prepare(row);
    });
  }

  function filtered() {
    const asked = Object.fromEntries(new FormData(form));
    const words = asked.text.toLowerCase().split(/\s+/).filter(Boolean);
    const number = (value) => (value ? Number(value) : -1);
    const part = number(asked.part), before = number(asked.before), after = number(asked.after);
    const relation = asked.relation ? data.texts.indexOf(asked.relation) : -1;
    const bit = asked.cause && asked.cause !== "unexplained" ? 1 << data.labels.indexOf(asked.cause) : 0;
    const found = [];
    for (let row = 0; row < data.ids.length; row++) {
      const move = data.after[row] - data.before[row];
      if (asked.move === "changed" && move === 0) continue;
      if (asked.move === "negative" && move <= 0) continue;
      if (asked.move === "positive" && move >= 0) continue;
      if (asked.move === "same" && move !== 0) continue;
      if (part >= 0 && data.part[row] !== part) continue;
      if (before >= 0 && data.before[row] !== before) continue;
      if (after >= 0 && data.after[row] !== after) continue;
      if (relation >= 0 && data.relation[row] !== relation) continue;
      if (asked.cause === "unexplained" && data.causes[row] !== 0) continue;
      if (bit && (data.causes[row] < 0 || !(data.causes[row] & bit))) continue;
      if (words.length && !words.every((word) => lower(row).includes(word))) continue;
      found.push(row);
    }
    return found;
  }

  function apply() {
    const kept = shown[active];
    shown = filtered();
    active = shown.indexOf(kept);
    spacer.style.height = shown.length * rowHeight + "px";
    list.scrollTop = active < 0 ? 0 : active * rowHeight;
    const all = data.ids.length.toLocaleString("en");
    counted.textContent = shown.length.toLocaleString("en") + " of " + all + " facts";
    render();
  }

  function tag(number) {
    const made = element("span", undefined, "tag");
    made.append(element("i", undefined, "c" + number), data.categories[number]);
    return made;
  }

  function state(row, when) {
    const made = element("div"), line = element("p");
    const right = data.right[4 * row + 2 * when], asked = data.right[4 * row + 2 * when + 1];
    line.append(tag((when ? data.after : data.before)[row]), element("span", " " + right + "/" + asked, "quiet"));
    const first = said(when, row);
    made.append(line, element("p", first.length ? text(first[0]) || "(nothing)" : "(not asked)", "quiet"));
    return made;
  }

  function item(place) {
    const row = shown[place], move = data.after[row] - data.before[row];
    const made = element("div", undefined, "item" + (move > 0 ? " worse" : move < 0 ? " better" : ""));
    made.id = "answer-" + place;
    made.style.top = place * rowHeight + "px";
    made.setAttribute("role", "option");
    made.setAttribute("aria-setsize", shown.length);
    made.setAttribute("aria-posinset", place + 1);
    made.setAttribute("aria-selected", place === active);
    const head = element("div");
    head.append(element("p", text(data.question[row]), "question"), element("p", text(data.answer[row]), "quiet"));
    made.append(head, state(row, 0), state(row, 1));
    return made;
  }

  function render() {
    const from = Math.max(0, Math.floor(list.scrollTop / rowHeight) - SPARE);
    const to = Math.min(shown.length, Math.ceil((list.scrollTop + list.clientHeight) / rowHeight) + SPARE);
    const rows = [];
    for (let place = from; place < to; place++) rows.push(item(place));
    spacer.replaceChildren(...rows);
    if (active >= from && active < to) list.setAttribute("aria-activedescendant", "answer-" + active);
    else list.removeAttribute("aria-activedescendant");
  }

  function answers(title, when, row) {
    const made = element("ol"), found = said(when, row);
    for (let n = 0; n < found.length; n += 2) {
      const line = element("li", undefined, found[n + 1] & 1 ? "right" : "");
      line.append(element("span", text(found[n]) || "(nothing)"), element("span", (found[n + 1] & 1 ? "✓ " : "") + (found[n + 1] >> 1) + "×"));
      made.append(line);
    }
    const head = element("h4", title + " ");
    head.append(tag((when ? data.after : data.before)[row]));
    return [head, found.length ? made : element("p", "not asked", "none")];
  }

  function causes(row) {
    if (data.causes[row] < 0) return [];
    const names = data.labels.filter((_, n) => data.causes[row] & (1 << n));
    const word = (label) => (form.cause && [...form.cause.options].find((one) => one.value === label)?.text) || label;
    return [element("h4", "Causes of the shift"), element("p", names.map(word).join(", ") || "unexplained")];
  }

  function show() {
    const row = shown[active], line = element("p", undefined, "quiet");
    line.append(PARTS[data.part[row]], text(data.relation[row]) ? " · " + text(data.relation[row]) : "", " · ", element("code", data.ids[row]));
    detail.replaceChildren(element("h3", text(data.question[row])), element("p", "Accepted answer: " + text(data.answer[row])), line,
      ...answers("Before", 0, row), ...answers("After", 1, row), ...causes(row));
    detail.scrollTop = 0;
  }

  function choose(place) {
    if (!shown.length) return;
    active = Math.max(0, Math.min(shown.length - 1, place));
    const top = active * rowHeight;
    if (top < list.scrollTop) list.scrollTop = top;
    if (top + rowHeight > list.scrollTop + list.clientHeight) list.scrollTop = top + rowHeight - list.clientHeight;
    render();
    show();
  }

  function key(event) {
    const page = Math.max(1, Math.floor(list.clientHeight / rowHeight) - 1);
    const steps = { ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + page, PageUp: active - page, Home: 0, End: shown.length - 1 };
    if (event.key in steps) { event.preventDefault(); choose(steps[event.key]); }
  }

  function measured() { // rows are of one height, which the style sheet knows
    rowHeight = parseFloat(getComputedStyle(list).getPropertyValue("--row")) || 64;
    apply();
  }

  function filterBy(button) { // a button among the causes asks for its facts
    form.reset();
    if (form.cause) form.cause.value = button.dataset.cause;
    form.move.value = button.dataset.move;
    form.part.value = "0";
    apply();
    document.getElementById("answers").scrollIntoView();
    list.focus({ preventScroll: true });
  }

  async function open() {
    data = JSON.parse(await unzipped(document.getElementById("answer-data").textContent));
    haystack = new Array(data.ids.length);
    let asked = 0;
    list.addEventListener("scroll", () => {
      cancelAnimationFrame(asked);
      asked = requestAnimationFrame(render);
    }, { passive: true });
    list.addEventListener("keydown", key);
    list.addEventListener("click", (event) => {
      const found = event.target.closest(".item");
      if (found) choose(Number(found.id.slice(7)));
    });
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(apply));
    document.querySelectorAll("button[data-cause]").forEach((one) => one.addEventListener("click", () => filterBy(one)));
    addEventListener("resize", measured);
    measured();
    document.body.dataset.answers = "open";
    if (window.requestIdleCallback) prepare(0);
  }

  open().catch((error) => { counted.textContent = "The answers cannot be opened in this browser (" + error.message + ")."; });
})();
