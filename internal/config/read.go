package config

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// readTimeout is how long a pipe may take to give the whole file. A reload that waits
// for it still ends within a second.
const readTimeout = 900 * time.Millisecond

var (
	// errNoWriter is why a pipe gave nothing. An empty file means the defaults; that
	// nobody wrote one means nothing.
	errNoWriter = errors.New("it is a pipe that nobody writes to")
	// errNotRegular is why a file was not read of which only a regular one makes sense.
	errNotRegular = errors.New("not a regular file")
)

// read reads the configuration, a byte more than MaxFileSize at most. It ends whatever
// the path is: at the first byte too many of /dev/zero, and after readTimeout on a pipe.
func read(path string) ([]byte, error) {
	file, info, err := open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	_ = file.SetReadDeadline(time.Now().Add(readTimeout)) // what has none does not wait
	src, err := io.ReadAll(io.LimitReader(file, MaxFileSize+1))
	if err == nil && len(src) == 0 && info.Mode()&fs.ModeNamedPipe != 0 {
		return nil, errNoWriter
	}
	return src, err
}

// readRegular reads a regular file, a byte more than limit at most.
func readRegular(path string, limit int64) ([]byte, error) {
	file, info, err := open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	return io.ReadAll(io.LimitReader(file, limit+1))
}

// open opens a file for reading. Without O_NONBLOCK the opening of a named pipe waits
// for a writer, for ever (fifo(7)).
func open(path string) (*os.File, fs.FileInfo, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, info, nil
}
