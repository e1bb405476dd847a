// Every text and place was computed in Python: this looks them up.
"use strict";
const data = JSON.parse(document.getElementById("steps").textContent);
const find = (id) => document.getElementById(id);
const slider = find("hours");
const plots = [...document.querySelectorAll(".plot")];

function show(place) {
  const step = data.steps[place];
  find("hours-shown").textContent = step.hours;
  slider.setAttribute("aria-valuetext", step.hours);
  // These are written in Python, where names are escaped.
  find("verdict").innerHTML = step.verdict;
  find("note").innerHTML = step.note;
  plots.forEach((plot, i) => {
    plot.querySelector(".guide").setAttribute("transform", `translate(${step.x[i]} 0)`);
    step.bars[i].forEach((ends, mix) => moveBar(plot.querySelectorAll(".reach")[mix], ends));
  });
  for (const card of document.querySelectorAll(".cards li")) {
    const mix = step.mixes[card.dataset.mix];
    for (const part of card.querySelectorAll("[data-text]")) {
      part.textContent = mix[part.dataset.text];
    }
    const bar = card.querySelector(".bar");
    bar.hidden = mix.bar === null;
    if (mix.bar !== null) {
      const [left, middle, right] = mix.bar;
      bar.querySelector(".span").style.left = `${left}%`;
      bar.querySelector(".span").style.width = `${right - left}%`;
      bar.querySelector(".point").style.left = `${middle}%`;
    }
  }
}

function moveBar(bar, ends) {
  if (ends === null) {
    bar.setAttribute("display", "none");
    return;
  }
  const [low, mean, high] = ends;
  bar.removeAttribute("display");
  bar.querySelector("line").setAttribute("y1", low);
  bar.querySelector("line").setAttribute("y2", high);
  bar.querySelector("circle").setAttribute("cy", mean);
}

function stepUnder(event, i) {
  const box = plots[i].getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width) * plots[i].viewBox.baseVal.width;
  const distances = data.steps.map((step) => Math.abs(step.x[i] - x));
  return distances.indexOf(Math.min(...distances));
}

function hover(event, i) {
  const step = data.steps[stepUnder(event, i)];
  const tip = find("tip");
  const head = document.createElement("b");
  head.textContent = step.hours;
  const lines = step.mixes.map((mix, place) => {
    const line = document.createElement("div");
    const name = document.createElement("span");
    const score = document.createElement("span");
    name.className = document.querySelector(`.cards [data-mix="${place}"]`).className + " ink";
    name.textContent = data.mixes[place];
    score.textContent = mix.bar === null ? mix.score : `${mix.score} (${mix.range})`;
    line.append(name, score);
    return line;
  });
  tip.replaceChildren(head, ...lines);
  tip.hidden = false;
  const box = plots[i].getBoundingClientRect();
  const at = (step.x[i] / plots[i].viewBox.baseVal.width) * box.width;
  // Beside the pointer, on the side that has room.
  const left = at > box.width / 2 ? at - tip.offsetWidth - 14 : at + 14;
  tip.style.left = `${Math.max(0, Math.min(left, box.width - tip.offsetWidth))}px`;
  tip.style.top = `${Math.max(0, event.clientY - box.top - tip.offsetHeight - 14)}px`;
}

plots.forEach((plot, i) => {
  plot.addEventListener("pointermove", (event) => hover(event, i));
  plot.addEventListener("pointerleave", () => { find("tip").hidden = true; });
  plot.addEventListener("click", (event) => {
    slider.value = stepUnder(event, i);
    show(slider.value);
  });
});
slider.addEventListener("input", () => show(slider.value));
// A browser may keep where the slider was when the page is loaded again.
slider.value = data.start;
find("slider").hidden = false;
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details")) part.open = true;
});
