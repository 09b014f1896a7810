package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/payment/money"
)

// maxLine bounds a line of hex: an extended command is 65544 bytes.
const maxLine = 1 << 18

// serveLines answers each line of hex with one; spaces in it are allowed, a line
// that starts with # is a comment. What is no command gets a line "error: ...".
func serveLines(ctx context.Context, r cardreader.Reader, in io.Reader, out io.Writer) error {
	card, err := r.Connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = card.Close() }()
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 4096), maxLine)
	for lines.Scan() {
		text := strings.ReplaceAll(strings.TrimSpace(lines.Text()), " ", "")
		var answer string
		switch {
		case text == "" || strings.HasPrefix(text, "#"):
			continue
		case text == "reset":
			atr, err := powerUp(ctx, r, &card)
			if err != nil {
				return err
			}
			answer = hexText(atr)
		default:
			answer = oneLine(ctx, card, text)
		}
		if _, err := fmt.Fprintln(out, answer); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
	}
	return lines.Err()
}

func oneLine(ctx context.Context, card cardreader.Card, text string) string {
	command, err := hex.DecodeString(text)
	if err != nil {
		return "error: not hex"
	}
	answer, err := card.Transmit(ctx, command)
	if err != nil {
		return "error: " + err.Error()
	}
	return hexText(answer)
}

func hexText(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

// powerUp takes the card out and puts it in again.
func powerUp(ctx context.Context, r cardreader.Reader, card *cardreader.Card) ([]byte, error) {
	if err := (*card).Close(); err != nil {
		return nil, err
	}
	next, err := r.Connect(ctx)
	if err != nil {
		return nil, err
	}
	*card = next
	return next.ATR(), nil
}

// The control bytes of vpcd, the virtual reader of vsmartcard. Each message, in
// both directions, is
//
//	2 bytes  length of what follows, big-endian
//	n bytes  from the reader: a control byte when n is 1, else a command APDU;
//	         to the reader: the ATR after controlATR, the response APDU after a
//	         command, nothing after the others
const (
	controlOff   = 0
	controlOn    = 1
	controlReset = 2
	controlATR   = 4
)

// serveVPCD is the card's end of the virtual reader's protocol, until the
// reader hangs up, ctx ends, or a fault takes the card out.
func serveVPCD(ctx context.Context, conn net.Conn, r cardreader.Reader) error {
	defer func() { _ = conn.Close() }()
	release := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer release()
	card, err := r.Connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = card.Close() }()
	for {
		message, err := readFrame(conn)
		if err != nil {
			if errors.Is(err, io.EOF) || ctx.Err() != nil {
				return nil // the reader is gone, or we are told to go
			}
			return fmt.Errorf("virtual reader: %w", err)
		}
		var answer []byte
		if len(message) == 1 {
			switch message[0] {
			case controlOff, controlOn, controlReset:
				if _, err := powerUp(ctx, r, &card); err != nil {
					return err
				}
				continue
			case controlATR:
				answer = card.ATR()
			default:
				continue // a control that this card has no part in
			}
		} else if answer, err = card.Transmit(ctx, message); err != nil {
			switch {
			case errors.Is(err, cardreader.ErrCardRemoved):
				return nil // hanging up is how a card leaves this reader
			case errors.Is(err, cardreader.ErrCardMute):
				continue
			case errors.Is(err, cardreader.ErrProtocol):
				answer = []byte{0x67, 0x00}
			case ctx.Err() != nil:
				return nil
			default:
				return err
			}
		}
		if err := writeFrame(conn, answer); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("virtual reader: %w", err)
		}
	}
}

func readFrame(r net.Conn) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	// Slow is no error.
	_ = acknowledge(r)
	b := make([]byte, binary.BigEndian.Uint16(head[:]))
	if _, err := io.ReadFull(r, b); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return b, nil
}

func writeFrame(w io.Writer, b []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
	return err
}

// export writes the files that were asked for.
func export(o options, pki *simcard.PKI, currency money.Currency, stdout io.Writer) error {
	all := simcard.AllProfiles()
	for _, x := range []struct {
		path  string
		write func(io.Writer) error
	}{
		{o.capkOut, func(w io.Writer) error { return simcard.WriteCAPK(w, pki, all) }},
		{o.cardsOut, func(w io.Writer) error { return simcard.WriteCards(w, pki, all, o.balance, currency.Code()) }},
	} {
		if x.path == "" {
			continue
		}
		if err := writeTo(x.path, stdout, x.write); err != nil {
			return err
		}
	}
	return nil
}

func writeTo(path string, stdout io.Writer, write func(io.Writer) error) error {
	if path == "-" {
		return write(stdout)
	}
	// The card file holds keys and PINs, even if a test's.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = write(f)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}
