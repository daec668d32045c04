// Package daemontest runs the program in tests as it runs on a host: the binary
// itself, with sockets and a NOTIFY_SOCKET from a service manager, and clients that
// send without a pause. The tests of the command and the labs below internal/lab
// share it; what is shipped does not import it.
//
//	func TestMain(m *testing.M) { os.Exit(daemontest.Main(m)) }
//
//	socket := daemontest.Listen(t, "proxy")
//	cmd := exec.Command("oauth-proxyd", "serve", "--config", file)
//	log := daemontest.NewRecord()
//	cmd.Stderr = log
//	daemontest.Activate(cmd, socket)
//	p := daemontest.Start(t, cmd)
//	log.Next(t, `"msg":"serving"`)
//	p.Stop(t)
//
//	binary.go     builds it and puts it into the PATH
//	process.go    starts a process, and waits for its end
//	socket.go     listening sockets that it inherits
//	record.go     what it says, in its output and to the service manager
//	systemctl.go  what a fake systemctl shows of the service
//	client.go     one request and its answer
//	load.go       requests all the time, of which none may be lost; loadclient.go sends them
package daemontest
