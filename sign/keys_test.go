package sign

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set, err := NewSet("Example.test", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		states := func(want string) {
			t.Helper()
			var got []string
			for _, k := range set.Keys {
				got = append(got, k.Selector+" "+string(k.State))
			}
			if s := strings.Join(got, ", "); s != want {
				t.Errorf("got  %s\nwant %s", s, want)
			}
			b, err := set.Encode()
			if err != nil {
				t.Fatal(err)
			}
			again, err := DecodeSet(b)
			if err != nil || fmt.Sprint(again) != fmt.Sprint(set) || !slices.Equal(again.Keys[0].Private, set.Keys[0].Private) {
				t.Errorf("stored %v, read %v: %v", set, again, err)
			}
		}
		states("hm2000a-rsa active, hm2000a-ed active")
		if _, err := set.Activate(time.Now()); !errors.Is(err, ErrNoNext) {
			t.Error(err)
		}
		first := set
		if set, err = set.Rotate(time.Now()); err != nil {
			t.Fatal(err)
		}
		states("hm2000a-rsa active, hm2000a-ed active, hm2000b-rsa next, hm2000b-ed next")
		if len(first.Keys) != 2 || first.Keys[0].State != Active {
			t.Error("the set before was changed")
		}
		if _, err := set.Rotate(time.Now()); !errors.Is(err, ErrRotating) {
			t.Error(err)
		}
		if set.Settled(time.Now()) {
			t.Error("settled at once")
		}
		time.Sleep(Settle)
		if !set.Settled(time.Now()) {
			t.Error("never settled")
		}
		if set, err = set.Activate(time.Now()); err != nil {
			t.Fatal(err)
		}
		states("hm2000a-rsa retired, hm2000a-ed retired, hm2000b-rsa active, hm2000b-ed active")
		fields, err := signMessage(t, New(Options{Keys: fixed(set.Keys)}), "example.test", plain)
		if err != nil || bytes.Contains(fields, []byte("hm2000a")) || bytes.Count(fields, []byte("hm2000b")) != 2 {
			t.Errorf("%v\n%s", err, fields)
		}
		time.Sleep(7 * 24 * time.Hour)
		if set = set.Prune(time.Now()); len(set.Keys) != 4 {
			t.Error("dropped while a signature may be valid")
		}
		time.Sleep(24 * time.Hour)
		set = set.Prune(time.Now())
		states("hm2000b-rsa active, hm2000b-ed active")
		if set, err = set.Rotate(time.Now()); err != nil {
			t.Fatal(err)
		}
		states("hm2000b-rsa active, hm2000b-ed active, hm2000c-rsa next, hm2000c-ed next")
	})
}

func TestSelectorsNeverComeAgain(t *testing.T) {
	letters, seen := "", map[string]bool{}
	for range 100 {
		letters = following(letters)
		if seen[letters] {
			t.Fatalf("%q twice", letters)
		}
		seen[letters] = true
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		older := Set{Keys: []Key{{Selector: "hm2026" + letters + "-rsa"}, {Selector: "hm2026a-ed"}, {Selector: "hm2025zz-rsa"}, {Selector: "mine"}}}
		if got := older.base(now); got != "hm2026"+following(letters) {
			t.Fatalf("after %q comes %q", letters, got)
		}
	}
}

func TestKeysStaySecret(t *testing.T) {
	k := testSet().Keys[1]
	for _, shown := range []string{fmt.Sprint(k), fmt.Sprintf("%v %+v %#v %s", k, &k, testSet(), testSet())} {
		if strings.Contains(shown, fmt.Sprint(k.Private)[1:20]) || strings.Contains(shown, fmt.Sprintf("%#v", k.Private)[1:40]) {
			t.Errorf("shows the private key: %s", shown)
		}
	}
	if _, err := Generate("a.test", "s", "dsa"); err == nil {
		t.Error("made a key of an unknown kind")
	}
	if _, err := DecodeSet([]byte(`{"keys":[{"private":"AAAA"}]}`)); err == nil {
		t.Error("read a broken key")
	}
}
