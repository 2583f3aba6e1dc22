#include "server/frames.h"

void frames_begin(struct frames *frames, const char *name)
{
    if (frames->form == FRAMES_SSE) {
        if (name != NULL) {
            strbuf_append_format(frames->out, "event: %s\n", name);
        }
        strbuf_append_text(frames->out, "data: ");
        return;
    }
    frames->sequence++;
    strbuf_append_format(frames->out,
                         "{\"type\":\"event\",\"id\":%s,\"sequence\":%llu,",
                         frames->id,
                         (unsigned long long)frames->sequence);
    if (name != NULL) {
        strbuf_append_format(frames->out, "\"event\":\"%s\",", name);
    }
    strbuf_append_text(frames->out, "\"data\":");
}

void frames_end(struct frames *frames)
{
    strbuf_append_text(frames->out, frames->form == FRAMES_SSE ? "\n\n" : "}\n");
}

void frames_done(struct frames *frames)
{
    if (frames->form == FRAMES_SSE) {
        strbuf_append_text(frames->out, "data: [DONE]\n\n");
    }
}
