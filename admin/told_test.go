package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"homemail/session"
	"homemail/store"
	"homemail/words"
)

// TestTold: every error has a code and is said in each language, and is still
// what it was to programs.
func TestTold(t *testing.T) {
	for _, tt := range []struct {
		err  error
		code string
		ja   string
	}{
		{words.Because(store.ErrInvalid, "admin.not-ours", "domain", "a.test"), "admin.not-ours", "a.test はこのサーバーのドメインではありません。"},
		{fmt.Errorf("x: %w", words.Because(store.ErrInvalid, "admin.not-ours", "domain", "a.test")), "admin.not-ours", "a.test はこのサーバーのドメインではありません。"},
		{fmt.Errorf("%w: %w", store.ErrInvalid, session.ErrShort), "admin.password-short", "パスワードが短すぎます。12 文字以上か、4 語以上にしてください。"},
		{fmt.Errorf("alias a@a.test: %w", store.ErrNotFound), "admin.other.missing", "ありません: alias a@a.test: not found"},
		{fmt.Errorf("alias a@a.test: %w", store.ErrExists), "admin.other.exists", "すでにあります: alias a@a.test: exists already"},
		{errors.New("boom"), "admin.other.trouble", "できませんでした: boom"},
	} {
		r := Told(tt.err)
		if r.Code != tt.code || r.JA != tt.ja || r.EN != tt.err.Error() || r.Error() != r.EN {
			t.Errorf("%v: %s %+v", tt.err, r.Code, r.Text)
		}
		if KindOf(r) != KindOf(tt.err) {
			t.Errorf("%v is of another kind", tt.err)
		}
	}
}

// The words of what packages below refuse say what these do, with the same figures.
func TestRefusalsSayTheSame(t *testing.T) {
	for _, r := range refusals {
		if en := words.Say(r.key).In("en"); !strings.HasSuffix(r.err.Error(), en) {
			t.Errorf("%s: %q, and the error says %q", r.key, en, r.err)
		}
	}
}

// TestToldOverTheSocket: who asks over the socket gets the code and every language.
func TestToldOverTheSocket(t *testing.T) {
	h := newWebHouse(t)
	_, err := h.Do(context.Background(), "no.such", nil)
	var r *words.Reason
	if !errors.As(err, &r) || r.Code != "admin.no-operation" || !strings.Contains(r.JA, "「no.such」") {
		t.Fatalf("%+v", err)
	}
	w := httptest.NewRecorder()
	q := httptest.NewRequest("POST", "/do/no.such", strings.NewReader("{}"))
	q.SetPathValue("name", "no.such")
	h.answer(w, q)
	if got := w.Body.String(); !strings.Contains(got, `"code":"admin.no-operation"`) || !strings.Contains(got, "という操作はありません") || !strings.Contains(got, `"error":"there is no operation`) {
		t.Error(got)
	}
}
