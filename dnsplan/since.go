package dnsplan

import (
	"encoding/json"
	"time"
)

const (
	agePath = "dnsplan/since"
	maxAges = 4096 // records of which is kept since when; a house has some hundred
)

// An age is since when a record is in a state.
type age struct {
	State State     `json:"state"`
	Since time.Time `json:"since"`
}

// stamp says of each result since when it is so.
func (c *Comparer) stamp(results []Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.age == nil {
		c.loadAges()
	}
	now, changed := time.Now().UTC().Round(0), false
	for i := range results {
		r := &results[i]
		key := r.Record.Name + " " + r.Record.Type + " " + string(r.Record.Kind)
		if a, ok := c.age[key]; ok && a.State == r.State && !a.Since.After(now) {
			r.Since = a.Since
			continue
		}
		if len(c.age) >= maxAges {
			clear(c.age)
		}
		c.age[key] = age{r.State, now}
		r.Since, changed = now, true
	}
	if changed {
		c.saveAges()
	}
}

// loadAges starts anew with what cannot be read: it is no more than a hint.
func (c *Comparer) loadAges() {
	c.age = map[string]age{}
	if c.o.Store == nil {
		return
	}
	if b, err := c.o.Store.State(agePath); err == nil {
		if err := json.Unmarshal(b, &c.age); err != nil || c.age == nil {
			c.o.Log.Warn("since when DNS records are as they are is lost", "err", err)
			c.age = map[string]age{}
		}
	}
}

func (c *Comparer) saveAges() {
	if c.o.Store == nil {
		return
	}
	b, err := json.Marshal(c.age)
	if err == nil {
		err = c.o.Store.PutState(agePath, b)
	}
	if err != nil {
		c.o.Log.Warn("since when DNS records are as they are is not kept", "err", err)
	}
}
