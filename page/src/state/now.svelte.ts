/** The time, moving once a second while somebody looks. */
class Now {
  ms = $state(Date.now());
  constructor() {
    setInterval(() => {
      if (!document.hidden) this.ms = Date.now();
    }, 1000);
    document.addEventListener('visibilitychange', () => (this.ms = Date.now()));
  }
}
export const now = new Now();
