package simcard

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Faults is a list of what goes wrong with a card. Each fault happens once in
// the life of a Card.
type Faults []Fault

// Fault is one thing that goes wrong at one command.
type Fault struct {
	Action Action
	// At is the command that the fault waits for.
	At Trigger
	// Nth counts matching commands since power-up, from 1.
	Nth int
	// Number is the offset for Corrupt (-1: the middle of the data), the bytes
	// kept for Short, the status word for WrongSW.
	Number int
	// Wait is for Delay.
	Wait time.Duration
}

// Action is what happens.
type Action string

// The actions.
const (
	Remove      Action = "remove"       // the card is taken out before it gets the command
	RemoveAfter Action = "remove-after" // it carries the command out, then is taken out: the answer is lost
	Mute        Action = "mute"         // it never answers again until it is reset
	Delay       Action = "delay"        // it answers late
	Corrupt     Action = "corrupt"      // one bit of the answer is wrong
	Short       Action = "short"        // the answer is cut off
	WrongSW     Action = "sw"           // it does not carry the command out and answers a status word
	Replay      Action = "replay"       // it does not carry the command out and gives its last answer again
	Malformed   Action = "malformed"    // the first length field of the answer is no BER length
)

// Trigger is a kind of command.
type Trigger string

// The triggers.
const (
	AnyCommand        Trigger = "command"
	OnSelect          Trigger = "select"
	OnGPO             Trigger = "gpo"
	OnReadRecord      Trigger = "read-record"
	OnGetData         Trigger = "get-data"
	OnGetChallenge    Trigger = "get-challenge"
	OnVerify          Trigger = "verify"
	OnInternalAuth    Trigger = "internal-auth"
	OnExternalAuth    Trigger = "external-auth"
	OnFirstGAC        Trigger = "first-gac"
	OnSecondGAC       Trigger = "second-gac"
	OnScript          Trigger = "script"
	maxFaultDelay             = 10 * time.Minute
	defaultFaultDelay         = 2 * time.Second
)

// FaultInfo is a line of help on faults.
type FaultInfo struct{ Form, Text string }

// FaultHelp lists what ParseFaults understands: actions, then places.
func FaultHelp() []FaultInfo {
	return []FaultInfo{
		{"remove@PLACE", "card taken out before the command reaches it"},
		{"remove-after@PLACE", "card taken out after the command, its answer lost"},
		{"mute@PLACE", "no answer, and none after it until a reset"},
		{"delay=DURATION@PLACE", "late answer, 2s if no duration is given"},
		{"corrupt=OFFSET@PLACE", "one bit of the answer flipped, in its middle if no offset is given"},
		{"short=BYTES@PLACE", "answer cut to that many bytes, 1 if none is given"},
		{"sw=HHHH@PLACE", "this status word and nothing done, 6F00 if none is given"},
		{"replay@PLACE", "the last answer once more and nothing done"},
		{"malformed@PLACE", "a length field that is no BER length"},
		{"PLACE", "command, select, gpo, read-record, get-data, get-challenge, verify, internal-auth, external-auth, first-gac, second-gac, script; with :N the Nth since power-up"},
	}
}

// ErrFault says that text is no list of faults.
var ErrFault = errors.New("simcard: fault")

// ParseFaults reads a list such as "remove@first-gac,corrupt=4@read-record:2".
// The empty string is no fault. The error wraps ErrFault and names the entry.
func ParseFaults(s string) (Faults, error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	var list Faults
	for i, entry := range strings.Split(s, ",") {
		f, err := parseFault(strings.TrimSpace(entry))
		if err != nil {
			return nil, fmt.Errorf("%w: entry %d, %q: %s", ErrFault, i+1, entry, err)
		}
		list = append(list, f)
	}
	return list, nil
}

func parseFault(entry string) (Fault, error) {
	what, place, ok := strings.Cut(entry, "@")
	if !ok {
		return Fault{}, errors.New("want ACTION@PLACE")
	}
	action, arg, hasArg := strings.Cut(what, "=")
	f := Fault{Action: Action(action), Nth: 1}
	var err error
	switch f.Action {
	case Remove, RemoveAfter, Mute, Replay, Malformed:
		if hasArg {
			return Fault{}, errors.New("this action takes no value")
		}
	case Delay:
		f.Wait = defaultFaultDelay
		if hasArg {
			f.Wait, err = time.ParseDuration(arg)
		}
		if err != nil || f.Wait < 0 || f.Wait > maxFaultDelay {
			return Fault{}, errors.New("want a duration up to 10m")
		}
	case Corrupt:
		if f.Number = -1; hasArg {
			f.Number, err = strconv.Atoi(arg)
		}
		if err != nil || hasArg && (f.Number < 0 || f.Number > 257) {
			return Fault{}, errors.New("want an offset from 0 to 257")
		}
	case Short:
		if f.Number = 1; hasArg {
			f.Number, err = strconv.Atoi(arg)
		}
		if err != nil || f.Number < 0 || f.Number > 257 {
			return Fault{}, errors.New("want a number of bytes from 0 to 257")
		}
	case WrongSW:
		f.Number = 0x6F00
		if hasArg {
			var sw uint64
			sw, err = strconv.ParseUint(arg, 16, 16)
			f.Number = int(sw)
		}
		if err != nil || hasArg && len(arg) != 4 {
			return Fault{}, errors.New("want a status word of four hex digits")
		}
	default:
		return Fault{}, errors.New("unknown action")
	}
	name, nth, hasNth := strings.Cut(place, ":")
	f.At = Trigger(name)
	if !knownTrigger(f.At) {
		return Fault{}, errors.New("unknown place")
	}
	if hasNth {
		if f.Nth, err = strconv.Atoi(nth); err != nil || f.Nth < 1 || f.Nth > 10000 {
			return Fault{}, errors.New("want a count from 1 to 10000 after the colon")
		}
	}
	return f, nil
}

func knownTrigger(t Trigger) bool {
	switch t {
	case AnyCommand, OnSelect, OnGPO, OnReadRecord, OnGetData, OnGetChallenge, OnVerify, OnInternalAuth, OnExternalAuth,
		OnFirstGAC, OnSecondGAC, OnScript:
		return true
	}
	return false
}

// String returns the form that ParseFaults reads.
func (f Fault) String() string {
	s := string(f.Action)
	switch f.Action {
	case Delay:
		s += "=" + f.Wait.String()
	case Corrupt:
		if f.Number >= 0 {
			s += "=" + strconv.Itoa(f.Number)
		}
	case Short:
		s += "=" + strconv.Itoa(f.Number)
	case WrongSW:
		s += fmt.Sprintf("=%04X", f.Number)
	}
	s += "@" + string(f.At)
	if f.Nth > 1 {
		s += ":" + strconv.Itoa(f.Nth)
	}
	return s
}

// String returns the form that ParseFaults reads.
func (f Faults) String() string {
	s := make([]string, len(f))
	for i := range f {
		s[i] = f[i].String()
	}
	return strings.Join(s, ",")
}

// faultRun is the progress of a list of faults.
type faultRun struct {
	list  Faults
	fired []bool
	seen  map[Trigger]int // since power-up
	muted bool
	last  []byte // the answer before this one
}

func newFaultRun(list Faults) *faultRun {
	r := &faultRun{list: append(Faults(nil), list...), fired: make([]bool, len(list))}
	r.powerUp()
	return r
}

func (r *faultRun) powerUp() {
	r.seen, r.muted, r.last = map[Trigger]int{}, false, nil
}

// next returns the faults that this command sets off.
func (r *faultRun) next(t Trigger) []Fault {
	if len(r.list) == 0 {
		return nil
	}
	r.seen[AnyCommand]++
	if t != AnyCommand {
		r.seen[t]++
	}
	var due []Fault
	for i, f := range r.list {
		if !r.fired[i] && (f.At == t || f.At == AnyCommand) && r.seen[f.At] == f.Nth {
			r.fired[i] = true
			due = append(due, f)
		}
	}
	return due
}

// spoil alters an answer as f says.
func (f Fault) spoil(answer []byte) []byte {
	switch f.Action {
	case Corrupt:
		at := f.Number
		if at < 0 {
			at = max(len(answer)-2, 0) / 2
		}
		if at < len(answer) {
			answer[at] ^= 0x01
		}
	case Short:
		answer = answer[:min(f.Number, len(answer))]
	case Malformed:
		at := 1
		if len(answer) > 0 && answer[0]&0x1F == 0x1F {
			at = 2
		}
		if at < len(answer)-2 {
			answer[at] = 0x85
		}
	}
	return answer
}
