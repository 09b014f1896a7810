package hostile_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/payunit/payunit/channel/relay/hostile"
)

// bank is the way to a server: here one that sends a frame back.
type bank struct{}

func (bank) Open(context.Context) (io.ReadWriteCloser, error) {
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		_, _ = io.Copy(far, far)
	}()
	return near, nil
}

// pay stands for a unit's payment over a link that the app provides.
func pay(link *hostile.Link) error {
	c, err := link.Open(context.Background())
	if err != nil {
		return err
	}
	request := []byte{2, 1, 0, 4, 'p', 'a', 'i', 'd'}
	if _, err := c.Write(request); err != nil {
		return errors.Join(err, c.Close())
	}
	answer := make([]byte, len(request))
	if _, err := io.ReadFull(c, answer); err != nil {
		return errors.Join(err, c.Close())
	}
	if string(answer) != string(request) {
		return errors.Join(errors.New("not the answer"), c.Close())
	}
	return c.Close()
}

// An app's developer looks at what happens to a payment when the last byte of its
// frames is altered.
func Example() {
	calm := hostile.New(bank{}, hostile.Pass)
	fmt.Println("undisturbed:", pay(calm))
	for _, trial := range hostile.Trials(calm.Seen()) {
		if trial.Attack == "alter the last byte" {
			fmt.Println(trial.String()+":", pay(hostile.New(bank{}, trial.Judge())))
		}
	}
	// Output:
	// undisturbed: <nil>
	// alter the last byte at frame 0: not the answer
	// alter the last byte at frame 1: not the answer
}
