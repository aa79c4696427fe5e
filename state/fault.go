package state

import (
	"errors"
	"fmt"
)

// What a caller may have to decide on. Every error of this package that has one of these causes wraps it.
var (
	ErrBusy        = errors.New("the state file is locked by another process")
	ErrReadOnly    = errors.New("the state file cannot be written")
	ErrNoFolder    = errors.New("the folder of the state file does not exist")
	ErrNotDatabase = errors.New("the file is not a trueup state file")
	ErrNewer       = errors.New("the state file was written by a newer trueup")
	ErrCorrupt     = errors.New("the state file is damaged")
	ErrFull        = errors.New("the disk is full")
	ErrDisk        = errors.New("the disk answered with an error")
	ErrSignIn      = errors.New("the database refuses the sign-in")
	ErrLost        = errors.New("the database cannot be reached")
	ErrNotEmpty    = errors.New("the target is not empty")
	ErrNotSame     = errors.New("the copy is not the same as what was copied")

	ErrNotFound   = errors.New("not found")
	ErrAmbiguous  = errors.New("more than one matches")
	ErrLocked     = errors.New("another daemon holds the lock")
	ErrLockLost   = errors.New("the lock was lost")
	ErrClaimed    = errors.New("already claimed")
	ErrRunning    = errors.New("already in progress")
	ErrUnsettled  = errors.New("the outcome of a change is not known")
	ErrOver       = errors.New("the run is over")
	ErrTransition = errors.New("the journal does not allow this step")
	ErrBroken     = errors.New("the journal's chain is broken")
)

// because wraps cause with the next step and, when there is one, the error underneath.
func because(cause error, next string, under error) error {
	if under == nil {
		return fmt.Errorf("%w; %s", cause, next)
	}
	return fmt.Errorf("%w (%w); %s", cause, under, next)
}

// worded is a cause in the words of a database that is not a file.
type worded struct {
	text  string
	cause error
}

func (w worded) Error() string { return w.text }
func (w worded) Unwrap() error { return w.cause }
