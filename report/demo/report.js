"use strict";
// What the pages do beyond their HTML: a theme, the slider, the trimap chart, the heat maps.
const root = document.documentElement;
root.classList.add("script");

function stored(theme) { // a browser may refuse pages from disk a memory
  try {
    if (theme) localStorage.setItem("theme", theme);
    return localStorage.getItem("theme");
  } catch { return null; }
}

function isDark() {
  return root.dataset.theme ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
}

if (["light", "dark"].includes(stored())) root.dataset.theme = stored();

function startTheme(button) {
  const name = () => { button.textContent = isDark() ? "Light theme" : "Dark theme"; };
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    stored(root.dataset.theme);
    name();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  name();
}

function startSlider(figure) {
  const range = figure.querySelector("input"), stack = figure.querySelector(".stack");
  const show = () => {
    figure.style.setProperty("--cut", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${range.value} % before the CRF, the rest after it`);
  };
  const follow = (event) => {
    const box = stack.getBoundingClientRect();
    range.value = Math.round((100 * (event.clientX - box.left)) / box.width);
    show();
  };
  stack.addEventListener("pointerdown", (event) => {
    stack.setPointerCapture(event.pointerId);
    follow(event);
  });
  stack.addEventListener("pointermove", (event) => { if (event.buttons) follow(event); });
  range.addEventListener("input", show);
  show();
}

function startTrimap(box) {
  const svg = box.querySelector("svg"), cursor = svg.querySelector(".cursor");
  const range = box.querySelector("input[type=range]"), readout = box.querySelector("output");
  const boxes = [...box.querySelectorAll("input[type=checkbox]")];
  const curves = [...svg.querySelectorAll(".curve")].map((group) => (
    { group, run: group.dataset.run, stage: group.dataset.stage,
      values: group.dataset.values.split(" ") }));
  const left = Number(box.dataset.left), right = Number(box.dataset.right);
  const widths = Number(box.dataset.widths);
  const show = () => {
    const width = Number(range.value), chosen = boxes.filter((one) => one.checked);
    for (const curve of curves) {
      curve.group.classList.toggle("off", !chosen.some((one) => one.dataset.run === curve.run));
    }
    cursor.classList.remove("off");
    cursor.setAttribute("transform", `translate(${left + ((right - left) * width) / widths} 0)`);
    range.setAttribute("aria-valuetext", `${width} pixels`);
    const lines = chosen.map((one) => {
      const line = document.createElement("span");
      const said = curves.filter((curve) => curve.run === one.dataset.run)
        .map((curve) => `${curve.stage} ${curve.values[width - 1] ?? "-"}`);
      line.textContent = `${one.dataset.run}: ${said.join(", ")}`;
      return line;
    });
    const head = document.createElement("b");
    head.textContent = `${width} px, mean IOU (%)`;
    readout.replaceChildren(head, ...lines);
  };
  svg.addEventListener("pointermove", (event) => {
    const place = new DOMPoint(event.clientX, event.clientY)
      .matrixTransform(svg.getScreenCTM().inverse());
    const width = Math.round((widths * (place.x - left)) / (right - left));
    range.value = Math.min(widths, Math.max(1, width));
    show();
  });
  for (const input of [range, ...boxes]) input.addEventListener("input", show);
  show();
}

// Arrow keys go from a point to the nearest one that lies that way, sideways counted double.
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function next(points, from, [dx, dy]) {
  const middle = (point) => {
    const box = point.getBBox();
    return [box.x + box.width / 2, box.y + box.height / 2];
  };
  const [x, y] = middle(from);
  let nearest = from, least = Infinity;
  for (const point of points) {
    const [px, py] = middle(point);
    const ahead = (px - x) * dx + (py - y) * dy;
    const distance = ahead + 2 * Math.abs((px - x) * dy - (py - y) * dx);
    if (ahead > 0.1 && distance < least) [nearest, least] = [point, distance];
  }
  return nearest;
}

function startSearch(search) {
  const readout = search.querySelector(".readout");
  for (const svg of search.querySelectorAll(".heat svg")) {
    const points = [...svg.querySelectorAll(".point")];
    const say = (event) => {
      if (points.includes(event.target)) readout.textContent = event.target.textContent;
    };
    svg.addEventListener("pointerover", say);
    svg.addEventListener("focusin", say);
    svg.addEventListener("keydown", (event) => {
      if (!(event.key in ARROWS)) return;
      event.preventDefault();
      const there = next(points, event.target, ARROWS[event.key]);
      event.target.tabIndex = -1;
      there.tabIndex = 0;
      there.focus();
    });
  }
}

function startBeneath(box) {
  const show = () => { root.classList.toggle("beneath", box.checked); };
  box.addEventListener("change", show);
  show();
}

document.addEventListener("DOMContentLoaded", () => {
  const starts = { "#theme": startTheme, ".compare": startSlider, ".trimap": startTrimap,
    ".search": startSearch, "#beneath": startBeneath };
  for (const [selector, start] of Object.entries(starts)) {
    for (const element of document.querySelectorAll(selector)) start(element);
  }
});
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details")) part.open = true;
});
