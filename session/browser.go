package session

import "strings"

// browser names a program by its User-Agent, for a person who looks which of
// the sessions is the phone that was lost. The order matters: everybody claims
// to be everybody before.
func browser(agent string) string {
	const most = 512
	agent = agent[:min(len(agent), most)]
	program := first(agent, [][2]string{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser", "Samsung Internet"}, {"Firefox", "Firefox"}, {"FxiOS", "Firefox"},
		{"CriOS", "Chrome"}, {"Chrome", "Chrome"}, {"Safari", "Safari"}, {"curl", "curl"},
	})
	machine := first(agent, [][2]string{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"CrOS", "Chromebook"}, {"Windows", "Windows"},
		{"Macintosh", "Mac"}, {"Linux", "Linux"},
	})
	if program != "" && machine != "" {
		return program + ", " + machine
	}
	return program + machine
}

func first(s string, table [][2]string) string {
	for _, t := range table {
		if strings.Contains(s, t[0]) {
			return t[1]
		}
	}
	return ""
}
