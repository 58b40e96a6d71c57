// A figure, table or code that is wider than its box scrolls in it, and then the keyboard has to reach it.
addEventListener("load", () => {
  const boxes = new ResizeObserver((entries) => entries.forEach(({ target }) => {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }));
  document.querySelectorAll("article :is(figure, table, pre)").forEach((box) => boxes.observe(box));
});
