/** A request that is understood and not carried out: its acknowledgement is not zero, and the connection goes on. */
export class Refusal extends Error {
  readonly code = 'ERR_VHOST_REFUSED';
}
