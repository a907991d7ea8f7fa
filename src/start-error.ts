/** Why the daemon cannot start: a code of docs/errors.md and a sentence with the cure. */
export class StartError extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
    this.name = 'StartError';
  }
}
