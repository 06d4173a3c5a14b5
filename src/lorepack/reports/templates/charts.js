// Draws every figure with the colours of the style sheet, again when the scheme changes.
(function () {
  "use strict";
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const narrow = matchMedia("(max-width: 640px)");

  function painted(value, key, style) {
    if (Array.isArray(value)) return value.map((part) => painted(part, key, style));
    if (value && typeof value === "object") {
      return Object.fromEntries(
        Object.entries(value).map(([name, part]) => [name, painted(part, name, style)])
      );
    }
    const isColor = typeof value === "string" && /color$/.test(key) && value[0] === "@";
    return isColor ? style.getPropertyValue("--" + value.slice(1)).trim() : value;
  }

  function draw() {
    const style = getComputedStyle(document.documentElement);
    const family = getComputedStyle(document.body).fontFamily;
    for (const [id, figure] of Object.entries(figures)) {
      const { data, layout } = painted(figure, "", style);
      layout.font.family = family;
      layout.dragmode = narrow.matches ? false : "zoom"; // a finger scrolls the page
      Plotly.react(id, data, layout, { displayModeBar: false, responsive: true });
    }
  }

  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
