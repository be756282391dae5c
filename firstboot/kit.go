package firstboot

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"math/big"
	"slices"
	"strconv"

	"homemail/admin"
	"homemail/mail"
	"homemail/store"
)

func safeStep() step {
	return step{
		Step: Step{ID: Safe, Needs: []ID{Claiming, Address}, MaySkip: true, Fields: []Field{
			{Name: "alert", Kind: Email}, // outside of this house
			// Two of the codes that were shown, typed back: those of Found.Asked.
			{Name: backFields[0], Kind: Secret}, {Name: backFields[1], Kind: Secret},
		}},
		validate: checkSafe, actions: safeActions,
	}
}

// backFields are the answers that have a code each.
var backFields = [...]string{"first_code", "second_code"}

func checkSafe(t *turn, p Problems) {
	if s := t.get("alert"); s != "" {
		a, err := mail.ParsePath(s)
		switch {
		case err != nil:
			p["alert"] = Say("firstboot.wrong.address")
		case a.Domain() == t.domain():
			p["alert"] = Say("firstboot.wrong.alert-inside")
		}
	}
	if f := t.row.Found; !f.Codes || f.Checked {
		return
	}
	sums := t.kit()
	for i, name := range backFields {
		if i >= len(sums) || !isCode(t.get(name), sums[i]) {
			p[name] = Say("firstboot.wrong.code-back", "n", strconv.Itoa(t.row.Found.askedAt(i)))
		}
	}
}

// askedAt is the number of the code that is to be typed back into a field.
func (f Found) askedAt(i int) int {
	if i < len(f.Asked) {
		return f.Asked[i]
	}
	return i + 1
}

func isCode(typed string, sum []byte) bool {
	got := sha256.Sum256([]byte(fold(typed)))
	return subtle.ConstantTimeCompare(got[:], sum) == 1
}

// kit has the hashes of the codes that are to be typed back.
func (t *turn) kit() (sums [][]byte) {
	t.open(Safe, t.row.Kit, &sums)
	return sums
}

func safeActions(t *turn) (list []action) {
	if t.row.Found.Codes {
		list = append(list, action{
			word: Say("firstboot.do.kit"),
			done: func(context.Context) (bool, error) { return t.row.Found.Checked, nil },
			do: func(context.Context) error {
				t.row.Found.Checked, t.row.Found.Asked, t.row.Kit = true, nil, nil // checkSafe has compared them
				return t.dropSecrets()
			},
		})
	}
	if alert := mail.Path(t.get("alert")); alert != "" {
		list = append(list, action{
			word: Say("firstboot.do.alert", "address", string(alert)),
			do: func(ctx context.Context) error {
				_, err := ask[admin.Empty](ctx, t.o.House, "alert.set", admin.Alert{Address: alert})
				return err
			},
		})
	}
	return list
}

// ErrNoCodes says that this house has no recovery codes.
var ErrNoCodes = errors.New("this house has no recovery codes yet")

// Codes makes new recovery codes for the owner, to be shown once. Those from
// before end. The step then wants two of them typed back, by Found.Asked: what
// was not kept is noticed while new ones can still be made.
func (e *Engine) Codes(ctx context.Context) ([]string, error) {
	if e.o.Recovery == nil {
		return nil, ErrNoCodes
	}
	e.locks[Safe].Lock()
	defer e.locks[Safe].Unlock()
	t, err := e.turn(Safe)
	if err != nil {
		return nil, err
	}
	a, ok, err := t.account(ctx, t.owner())
	if err != nil || !ok {
		return nil, errors.Join(err, store.ErrNotFound)
	}
	codes, err := e.o.Recovery(ctx, a.Address, a.ID)
	if err != nil {
		return nil, err
	}
	t.row.Found.Codes, t.row.Found.Checked = true, false
	t.row.Found.Asked = someOf(len(codes), len(backFields))
	var sums [][]byte
	for _, n := range t.row.Found.Asked {
		sum := sha256.Sum256([]byte(fold(codes[n-1])))
		sums = append(sums, sum[:])
	}
	if t.row.Kit, err = e.seal(Safe, sums); err != nil {
		return nil, err
	}
	if t.row.Status == Done {
		t.row = t.row.become(Todo, Word{})
	}
	return codes, e.save(Safe, t.row)
}

// someOf picks numbers from 1 to n, in their order.
func someOf(n, want int) (list []int) {
	for len(list) < min(n, want) {
		r, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
		if err != nil {
			break // never, crypto/rand
		}
		if one := int(r.Int64()) + 1; !slices.Contains(list, one) {
			list = append(list, one)
		}
	}
	slices.Sort(list)
	return list
}
