// What a screen reader would miss: names of fields, buttons and drawings, heads of tables, the order of headings.
() => {
  const bad = [];
  for (const field of document.querySelectorAll("input:not([type=hidden]), select, textarea"))
    if (!field.labels.length && !field.getAttribute("aria-label")) bad.push(`field ${field.name}`);
  for (const each of document.querySelectorAll("a, button"))
    if (!each.textContent.trim() && !each.getAttribute("aria-label")) bad.push(`${each.tagName} without words`);
  for (const each of document.querySelectorAll("svg:not([aria-hidden])"))
    if (!each.getAttribute("aria-label")) bad.push("drawing without words");
  for (const table of document.querySelectorAll("table:not(.u-legend)"))
    if (!table.querySelector("thead th[scope=col]") || !table.querySelector("tbody th[scope=row]")) bad.push("table without heads");
  const ids = [...document.querySelectorAll("[id]")].map((each) => each.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) bad.push(`id ${id} twice`);
  let level = 0;
  for (const head of document.querySelectorAll("h1, h2, h3")) {
    const now = Number(head.tagName[1]);
    if (now > level + 1) bad.push(`heading ${head.textContent} after level ${level}`);
    level = now;
  }
  if (document.querySelectorAll("main").length !== 1) bad.push("not one main");
  return bad;
}
