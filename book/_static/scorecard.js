// Filters of the scorecard, kept in the address (?outcome=refuted), and its folded settings. Without this script every row
// stands open.
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
    const outcome = filters.find(({ dataset }) => dataset.filter === "outcome").value;
    for (const claim of claims) {
      claim.hidden = filters.some(({ value, dataset }) =>
        value && !claim.dataset[dataset.filter].split("|").includes(value));
      if (outcome && !claim.hidden && !claim.dataset.outcome.startsWith(outcome)) unfold(claim, true); // one of its settings has it
    }
    count.textContent = `${claims.filter((claim) => !claim.hidden).length} of ${claims.length} claims and questions`;
  };
  const address = new URL(location);
  for (const select of filters) {
    const asked = address.searchParams.get(select.dataset.filter);
    if ([...select.options].some(({ value }) => value === asked)) select.value = asked;
    select.addEventListener("change", () => {
      if (select.value) address.searchParams.set(select.dataset.filter, select.value);
      else address.searchParams.delete(select.dataset.filter);
      history.replaceState(null, "", address);
      filter();
    });
  }
  box.hidden = false;
  filter();
  const follow = () => {
    const claim = claims.find(({ id }) => id && `#${id}` === location.hash);
    if (claim) { unfold(claim, true); claim.hidden = false; claim.scrollIntoView(); }
  };
  addEventListener("hashchange", follow);
  follow();
});
