package dash

import (
	"log/slog"
	"net/http"

	"homemail/web/dash/logring"
	"homemail/web/page"
)

// filter is the form of the log.
type filter struct {
	Level string `form:"level,one=debug|info|warn|error"`
	Text  string `form:"text,max=200"`
}

type logsView struct {
	Form  page.Form
	Lines []logring.Line
	None  bool // no log is kept for the page
}

const linesShown = 150 // of 200 octets or so: a page has 40 KB

// State is how a line looks.
func (logsView) State(l slog.Level) page.State {
	switch {
	case l >= slog.LevelError:
		return page.Bad
	case l >= slog.LevelWarn:
		return page.Unknown
	}
	return page.Off
}

// Level is a line's level in a word.
func (logsView) Level(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "dash.logs.level.error"
	case l >= slog.LevelWarn:
		return "dash.logs.level.warn"
	case l >= slog.LevelInfo:
		return "dash.logs.level.info"
	}
	return "dash.logs.level.debug"
}

func (d *Dash) logs(w http.ResponseWriter, r *http.Request) {
	in := filter{Level: "info"}
	form := page.Fill(in)
	if r.URL.RawQuery != "" {
		form = query(r, &in)
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(in.Level)); err != nil {
		level = slog.LevelInfo
	}
	d.show(w, r, "dash.logs", logsView{form, d.o.Lines.Find(level, in.Text, linesShown), d.o.Lines == nil}, form)
}
