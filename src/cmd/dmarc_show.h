/* A DMARC aggregate report, others' or one of ours that is not yet sent, shown to people. */
#ifndef CMD_DMARC_SHOW_H
#define CMD_DMARC_SHOW_H

#include "aggregate/report.h"
#include "base/buffer.h"

/* Lines, an empty one behind them. */
void dmarc_report_print(struct buffer *text, const struct aggregate_report *report);

/* One object, without a line end. `path`: where it was read. */
void
dmarc_report_json(struct buffer *text, const char *path, const struct aggregate_report *report);

#endif
