/** node:crypto, which few daemons need: Node takes longer to load it than to load the daemon. */
export const crypto = (): typeof import('node:crypto') => process.getBuiltinModule('node:crypto');
