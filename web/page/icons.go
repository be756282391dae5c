package page

import (
	"fmt"
	"html/template"
)

// icon draws a small picture beside words, which say the same: programs that
// read aloud leave it out. All are drawn with one pen in a square of 24.
func icon(name any) (template.HTML, error) {
	path := iconPath(fmt.Sprint(name))
	if path == "" {
		return "", fmt.Errorf("there is no icon %q", name)
	}
	return template.HTML(`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d="` + path + `"/></svg>`), nil
}

const circle = "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z"

func iconPath(name string) string {
	switch name {
	case "good":
		return circle + "M8 12.2l2.8 2.8L16 9.5"
	case "waiting":
		return circle + "M12 7v5l3 2"
	case "unknown", string(Unknown):
		return circle + "M9.6 9.4a2.5 2.5 0 1 1 3.6 2.2c-.8.4-1.2.9-1.2 1.8M12 16.6v.1"
	case "bad":
		return "M12 3.5L2.5 20h19zM12 10v4.5M12 17.2v.1"
	case "off":
		return circle + "M8 12h8"
	case "info":
		return circle + "M12 11v5M12 7.8v.1"
	case "menu":
		return "M4 7h16M4 12h16M4 17h16"
	case "mail":
		return "M3 6.5h18v12H3zM3 7l9 7 9-7"
	case "send":
		return "M21 3L10 14M21 3l-7 18-4-7-7-4z"
	case "person":
		return "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM4.5 20.5c.8-4 3.7-5.5 7.5-5.5s6.7 1.5 7.5 5.5"
	case "shield":
		return "M12 3l8 3v6c0 4.5-3.2 7.5-8 9-4.8-1.5-8-4.5-8-9V6zM8.5 12l2.5 2.5 4.5-5"
	case "globe":
		return circle + "M3.5 9.5h17M3.5 14.5h17M12 3c-5 5-5 13 0 18 5-5 5-13 0-18"
	case "home":
		return "M3.5 11.5L12 4l8.5 7.5M6 9.5V20h4.5v-5.5h3V20H18V9.5"
	case "phone":
		return "M7 2.5h10v19H7zM11 18.5h2"
	case "key":
		return "M8 11a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9zM11.2 12.3L20 3.5M16 7.5l3 3"
	case "disk":
		return "M4 6c0-3.3 16-3.3 16 0v12c0 3.3-16 3.3-16 0zM4 6c0 3.3 16 3.3 16 0M4 12c0 3.3 16 3.3 16 0"
	case "clock":
		return circle + "M12 7v5h4"
	case "update":
		return "M20 12a8 8 0 0 1-14.5 4.6M4 12A8 8 0 0 1 18.5 7.4M18.5 3v4.4h-4.4M5.5 21v-4.4h4.4"
	case "search":
		return "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.3 15.3L20.5 20.5"
	case "plus":
		return "M12 5v14M5 12h14"
	case "trash":
		return "M4 7h16M9 7V4h6v3M6.5 7l1 13.5h9l1-13.5M10 11v6M14 11v6"
	case "download":
		return "M12 4v11M7.5 11l4.5 4.5 4.5-4.5M4 20h16"
	case "next":
		return "M9 5l7 7-7 7"
	case "at":
		return "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM16 8v5.5c0 3 4.5 3 4.5-1.5A8.5 8.5 0 1 0 16.5 19"
	case "list":
		return "M9 6h11M9 12h11M9 18h11M4.5 6v.1M4.5 12v.1M4.5 18v.1"
	case "settings":
		return "M4 7h9M17 7h3M4 17h3M11 17h9M15 5a2 2 0 1 0 0 4 2 2 0 0 0 0-4zM9 15a2 2 0 1 0 0 4 2 2 0 0 0 0-4z"
	case "wifi":
		return "M3 9.5c5.5-5 12.5-5 18 0M6.5 13.5c3.5-3 7.5-3 11 0M10 17.3c1.3-1 2.7-1 4 0M12 20v.1"
	}
	return ""
}
