package clients

import (
	"encoding/json"
	"path/filepath"
	"testing"
)

// python runs a script of testdata, which says ok at its end.
func (s *server) python(script string, messages int) {
	s.t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", script))
	must(s.t, err)
	type entry struct {
		Address  string `json:"address"`
		Password string `json:"password"`
	}
	at, err := json.Marshal(map[string]any{
		"smtp": s.SMTP, "submission": s.Submission, "submissions": s.Submissions,
		"imap": s.IMAP, "imaps": s.IMAPS, "pop3": s.POP3, "pop3s": s.POP3S,
		"cert": s.cert(), "wrong": wrongPassword, "canary": canary, "messages": messages,
		"accounts": []entry{entry(s.anna()), entry(s.bert())},
	})
	must(s.t, err)
	if got := s.ok("", "python3", "-X", "utf8", path, string(at)); got != "ok\n" {
		s.t.Errorf("%s: %s", script, got)
	}
}

func TestPythonSMTPAndIMAP(t *testing.T) {
	s := start(t, 0, "python3")
	s.python("smtp.py", 0)
	s.python("imap.py", 11)
}

func TestPythonPOP3(t *testing.T) {
	s := start(t, 8, "python3")
	s.mx().send("", letter("carl@example.net", "anna@example.test", "dots"), "anna@example.test")
	s.python("pop.py", 9)
}
