const boxes = [...document.querySelectorAll('.scroll')];
const hint = () => boxes.forEach(box => {
  const words = box.nextElementSibling, wider = box.scrollWidth > box.clientWidth + 1;
  if (!words || !words.classList.contains('hint')) return;
  words.classList.toggle('needed', wider);
  words.classList.toggle('unneeded', !wider);
});
hint();
addEventListener('resize', hint);
document.querySelectorAll('details').forEach(one => one.addEventListener('toggle', hint));
for (const table of document.querySelectorAll('table.sortable')) {
  const heads = [...table.tHead.rows[0].cells];
  const other = {ascending: 'descending', descending: 'ascending'};
  heads.forEach((head, index) => head.querySelector('button').addEventListener('click', () => {
    const order = other[head.getAttribute('aria-sort')] || head.dataset.first;
    heads.forEach(one => one.setAttribute('aria-sort', one === head ? order : 'none'));
    const number = head.classList.contains('number');
    const sign = order === 'ascending' ? 1 : -1;
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => {
      const x = a.cells[index].dataset.key, y = b.cells[index].dataset.key;
      if (x === '' || y === '') return (x === '') - (y === '');
      return sign * (number ? Number(x) - Number(y) : x.localeCompare(y));
    });
    table.tBodies[0].append(...rows);
  }));
}
