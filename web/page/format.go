package page

import (
	"fmt"
	"html/template"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Date writes a day and the time of day: "22 Nov 2026, 14:35".
func (w *Words) Date(lang Lang, t time.Time) string { return w.layout(lang, t, "page.layout.date") }

// Day writes a day: "22 Nov 2026".
func (w *Words) Day(lang Lang, t time.Time) string { return w.layout(lang, t, "page.layout.day") }

// Clock writes the time of day: "14:35".
func (w *Words) Clock(lang Lang, t time.Time) string { return w.layout(lang, t, "page.layout.clock") }

// layout writes a time where people are; a time that never was as "never".
func (w *Words) layout(lang Lang, t time.Time, layout string) string {
	if t.IsZero() {
		return w.Say(lang, "page.never")
	}
	return t.In(w.zone()).Format(w.Say(lang, layout))
}

// Ago writes how long ago a time was, or in how long it will be.
func (w *Words) Ago(lang Lang, t time.Time) string {
	if t.IsZero() {
		return w.Say(lang, "page.never")
	}
	d := time.Since(t)
	switch {
	case d < 0 && d > -time.Second, d >= 0 && d < 45*time.Second:
		return w.Say(lang, "page.now")
	case d < 0:
		return w.Say(lang, "page.in", "span", w.Span(lang, -d))
	}
	return w.Say(lang, "page.ago", "span", w.Span(lang, d))
}

// spans are the units that Span counts in, the largest first.
var spans = []struct {
	unit time.Duration
	key  string
}{
	{365 * 24 * time.Hour, "page.years"}, {30 * 24 * time.Hour, "page.months"}, {24 * time.Hour, "page.days"},
	{time.Hour, "page.hours"}, {time.Minute, "page.minutes"}, {time.Second, "page.seconds"},
}

// Span writes how long something takes, in the largest unit of which there is
// at least one and a half, rounded: people do not want to know it to the second.
func (w *Words) Span(lang Lang, d time.Duration) string {
	d = max(d, -d)
	for _, s := range spans {
		if d >= s.unit*3/2 || d == s.unit || s.unit == time.Second {
			return w.Say(lang, s.key, "n", int64((d+s.unit/2)/s.unit))
		}
	}
	return ""
}

// Bytes writes a size in decimal units, as disks are sold in: "1.5 MB".
func Bytes(n int64) string {
	const units = "kMGTPE"
	if n < 1000 {
		return strconv.FormatInt(n, 10) + " B"
	}
	f, i := float64(n)/1000, 0
	for f >= 999.5 && i < len(units)-1 {
		f, i = f/1000, i+1
	}
	if f < 9.95 {
		return fmt.Sprintf("%.1f %cB", f, units[i])
	}
	return fmt.Sprintf("%.0f %cB", f, units[i])
}

// number writes a whole number with its thousands apart: "12,345".
func number(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign, digits := "", s
	if n < 0 {
		sign, digits = "-", s[1:]
	}
	var b strings.Builder
	for i, r := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(r)
	}
	return sign + b.String()
}

// numeral writes a value of any type of number.
func numeral(v any) (string, bool) {
	switch r := reflect.ValueOf(v); {
	case !r.IsValid():
		return "", false
	case r.CanInt():
		return number(r.Int()), true
	case r.CanUint():
		return number(int64(r.Uint())), true
	case r.CanFloat():
		return strconv.FormatFloat(r.Float(), 'f', 1, 64), true
	}
	return "", false
}

// stamp is a time for people and for programs.
func stamp(t time.Time, text, title string) template.HTML {
	if t.IsZero() {
		return template.HTML(template.HTMLEscapeString(text))
	}
	if title != "" {
		title = ` title="` + template.HTMLEscapeString(title) + `"`
	}
	return template.HTML(`<time datetime="` + t.UTC().Format(time.RFC3339) + `"` + title + `>` + template.HTMLEscapeString(text) + `</time>`)
}
