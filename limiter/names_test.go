package limiter

// Tests say Trip for a Call.
type Trip = Call

var WithTrip = WithCall
