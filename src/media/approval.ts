/** Whether a guest may open the node. Somebody else answers: the operator's command (daemon/approval.ts). */

/**
 * Asks whether the guest's session may open the node. Resolves to false after `limit` milliseconds, and when `until` is
 * aborted, because nobody waits for the answer any more. Never rejects.
 */
export type Approve = (session: number, until: AbortSignal, limit: number) => Promise<boolean>;
