"""Labels for a search: only pixels that still move after two updates are updated further."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from replication.crf.lattice import moving, passes
from replication.crf.lattice.filter import blur
from replication.crf.parameters import CrfParameters
import time
T={}
FIND=2e-4
DROP=1e-4
def tick(name,t):
    n=time.process_time(); T[name]=T.get(name,0)+n-t; return n

def refine_group(lattices,settings,start,play,safe):
    image=lattices.image; N=image.pixels
    t=time.process_time()
    V0=lattices.first(start); t=tick('first',t)
    chosen=np.searchsorted(start.active,play.active)
    mask=np.zeros(8,np.float32); mask[:len(play.active)]=1
    active=np.zeros(9,np.uint8); active[:len(play.active)]=play.active
    flags=np.zeros(N,np.uint8)
    states=[]
    for k,p in enumerate(settings):
        strength=np.array([p.w2,p.w1],np.float32); subtract=lattices.strength(p)>safe
        S=lattices.zeros(f'fast {k}',1); t=tick('zero',t)
        q1=image.buffers.take(f'beliefs {k}',N*8)
        peak=np.zeros(8*start.planes,np.float32)
        passes.update_planes(N,1,start.planes,start.logits,lattices.scales,strength,*lattices.places,*V0,1,*S,chosen,peak,q1)
        t=tick('update1',t)
        lattices.blur(S,1); t=tick('blur1',t)
        out=np.empty(N,np.uint8)
        moving.find_moving(N,subtract,FIND,play.logits,lattices.scales,strength,*lattices.places,*S,q1,active,image.order,flags,out)
        t=tick('find',t)
        states.append((p,strength,subtract,S,q1,out))
    listed=np.flatnonzero(flags).astype(np.int32)
    t=tick('flat',t)
    parts=[moving.part_of(pl,c,listed,kern.count,kern.chain,kern.joined,kern.bounds) for pl,c,kern in ((lattices.places[0],3,lattices.spatial),(lattices.places[2],6,lattices.bilateral))]
    t=tick('part',t)
    T['share']=T.get('share',0)+listed.size/N; T['kept']=T.get('kept',0)+parts[1][0].size/lattices.bilateral.count; T['links']=T.get('links',0)+parts[1][2].size/max(1,lattices.bilateral.chain.size); T['n']=T.get('n',0)+1
    places=(parts[0][1],moving.take_rows(lattices.places[1],3,listed),parts[1][1],moving.take_rows(lattices.places[3],6,listed))
    scales=moving.take_rows(lattices.scales,4,listed); logits=moving.take_rows(play.logits,8,listed)
    t=tick('take',t)
    for p,strength,subtract,S,q1,out in states:
        q=moving.take_rows(q1,8,listed)
        V=[np.append(moving.take_rows(s,8,part[0]),np.zeros(8,np.float32)) for s,part in zip(S,parts)]
        D=[np.zeros_like(x) for x in V]
        alive=np.arange(listed.size,dtype=np.int32)
        t=tick('take2',t)
        for it in range(1,p.iterations):
            n=moving.update_moving(alive,subtract,DROP if it>1 else -1.,logits,scales,strength,*places,*V,*D,mask,q)
            t=tick('update',t)
            alive=alive[:n]
            if it+1<p.iterations:
                for d,x,part in zip(D,V,parts):
                    blur(d,1,*part[2:5]); moving.add_into(x,d)
            t=tick('blur',t)
        moving.label_moved(listed,q,active,image.order,out)
        t=tick('label',t)
        yield p,out.reshape(image.height,image.width)
