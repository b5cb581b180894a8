// Each wait ends with an event. Otherwise only the time limit ends it.
export const within = (promise, what) => {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`not in time: ${what}`)), 120_000)));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};

// The lines of the companion, and a way to wait for one.
export const listener = () => {
  const told = [];
  let wake = () => {};
  const tell = (what) => {
    told.push(what);
    wake();
  };
  const until = (fits, what) =>
    within(
      new Promise((resolve) => {
        wake = () => {
          const index = told.findIndex(fits);
          if (index >= 0) resolve(told.splice(0, index + 1).at(-1));
        };
        wake();
      }),
      what,
    );
  return { tell, until };
};
