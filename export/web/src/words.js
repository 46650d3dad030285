/** How many faces there are and their mean scores, as `kfacealign align` prints them. */
export function told(scores) {
  const several = scores.length > 1 ? 's' : '';
  return `${scores.length} face${several}, mean score${several} ${listed(scores)}`;
}

export function listed(scores) {
  return scores.map((score) => score.toFixed(2)).join(', ');
}
