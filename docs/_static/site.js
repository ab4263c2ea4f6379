// What scrolls can be reached by keys, and what a screen reader lists has a name.
for (const part of document.querySelectorAll("pre, div.math, .table-wrapper")) part.tabIndex = 0;
for (const [part, name] of [[".sidebar-drawer", "All pages"], [".toc-drawer", "On this page"]])
  document.querySelector(part)?.setAttribute("aria-label", name);
for (const title of document.querySelectorAll("p.caption[role=heading]")) title.ariaLevel = "2";
