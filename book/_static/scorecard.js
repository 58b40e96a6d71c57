// Filters of the scorecard, and its folded settings. Without this script every row stands open.
document.addEventListener("DOMContentLoaded", () => {
  const table = document.querySelector("table.scorecard");
  if (!table) return;
  const claims = [...table.tBodies], filters = [...document.querySelectorAll(".filters select")];
  const unfold = (claim, open) => {
    claim.querySelector("button")?.setAttribute("aria-expanded", open);
    claim.querySelectorAll("tr.variant").forEach((row) => { row.hidden = !open; });
  };
  for (const claim of claims) {
    const button = claim.querySelector("button");
    if (!button) continue;
    button.hidden = false;
    button.addEventListener("click", () => unfold(claim, button.getAttribute("aria-expanded") !== "true"));
    unfold(claim, false);
  }
  const box = document.querySelector(".filters"), count = box.querySelector("output");
  const filter = () => {
    for (const claim of claims)
      claim.hidden = filters.some(({ value, dataset }) =>
        value && !claim.dataset[dataset.filter].split("|").includes(value));
    count.textContent = `${claims.filter((claim) => !claim.hidden).length} of ${claims.length} shown`;
  };
  box.hidden = false;
  filters.forEach((select) => select.addEventListener("change", filter));
  filter();
  const follow = () => {
    const claim = claims.find(({ id }) => id && `#${id}` === location.hash);
    if (claim) { unfold(claim, true); claim.hidden = false; claim.scrollIntoView(); }
  };
  addEventListener("hashchange", follow);
  follow();
});
