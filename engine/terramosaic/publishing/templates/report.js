"use strict";
document.documentElement.classList.remove("still");

for (const figure of document.querySelectorAll(".compare")) {
  const stage = figure.querySelector(".stage");
  const slider = figure.querySelector(".slider");
  const buttons = figure.querySelectorAll(".modes button");

  const show = (mode) => {
    figure.dataset.mode = mode;
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
  };
  for (const button of buttons) button.addEventListener("click", () => show(button.dataset.mode));

  const move = () => stage.style.setProperty("--at", slider.value + "%");
  slider.addEventListener("input", move);

  // The slider itself takes keys only: its thumb does not sit where the pointer is.
  const drag = (event) => {
    const box = stage.getBoundingClientRect();
    slider.value = (100 * (event.clientX - box.left)) / box.width;
    move();
  };
  stage.addEventListener("pointerdown", (event) => {
    if (figure.dataset.mode !== "swipe") return;
    stage.setPointerCapture(event.pointerId);
    slider.focus({ preventScroll: true });
    drag(event);
  });
  // A mouse would take the focus away again.
  stage.addEventListener("mousedown", (event) => {
    if (figure.dataset.mode === "swipe") event.preventDefault();
  });
  stage.addEventListener("pointermove", (event) => {
    if (figure.dataset.mode === "swipe") {
      if (stage.hasPointerCapture(event.pointerId)) drag(event);
      return;
    }
    // Side by side, the place under the pointer is marked in both pictures.
    const pane = event.target.closest(".pane");
    if (!pane || event.pointerType === "touch") return;
    const box = pane.getBoundingClientRect();
    stage.style.setProperty("--x", (100 * (event.clientX - box.left)) / box.width + "%");
    stage.style.setProperty("--y", (100 * (event.clientY - box.top)) / box.height + "%");
    stage.classList.add("pointed");
  });
  stage.addEventListener("pointerleave", () => stage.classList.remove("pointed"));

  // Two pictures side by side are too small on a phone.
  show(window.matchMedia("(max-width: 640px)").matches ? "swipe" : figure.dataset.start);
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
    } catch {
      // Without a clipboard (some browsers deny it to files) the text is at least selected.
      getSelection().selectAllChildren(source);
    }
  });
}
