covey drain lab2
covey run -- true
covey down --purge
