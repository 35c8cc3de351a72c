/** Milliseconds that `owimg flash` and `owimg serve` have in common. Pure. */

/** A device that asks for a file again within this time did not take it. */
export const askedAgainWithin = 60_000;

/** Nobody has answered or asked for so long: time for advice. */
export const quietFor = 30_000;
