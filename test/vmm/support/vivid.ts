/** Controls of vivid and entries of their menus. */

export const Control = {
  TEST_PATTERN: 0x00f0_f000,
  OSD_TEXT_MODE: 0x00f0_f001,
  HORIZONTAL_MOVEMENT: 0x00f0_f002,
} as const;
/** Of the test pattern. */
export const BARS_100 = 1;
/** Of the text mode: ALL has counters that change from frame to frame. */
export const Text = { ALL: 0, NONE: 2 } as const;
export const Movement = { LEFT_FAST: 0, NONE: 3 } as const;
