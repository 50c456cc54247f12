"""A point cloud with its boxes as one HTML file, to look around in with any browser."""

import base64
import html
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from jaxvision.viz.boxes import EDGES, arrows, corners

MOST_POINTS = 200_000
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>__TITLE__</title>
<style>
html,body{margin:0;height:100%;background:#121214;color:#ddd;font:14px sans-serif;overflow:hidden}
canvas{width:100%;height:100%;display:block;touch-action:none;cursor:grab}
#panel{position:absolute;left:12px;top:10px;background:#1d1d22cc;padding:8px 12px;border-radius:6px}
#panel label{display:block} #labels span{position:absolute;font-size:12px;pointer-events:none}
#labels{position:absolute;inset:0;overflow:hidden;pointer-events:none}
</style>
<canvas id="view"></canvas><div id="labels"></div>
<div id="panel"><b>__TITLE__</b><div id="summary"></div>
<label>score at least
<input id="least" type="range" min="0" max="1" step="0.05" value="__LEAST__">
<output id="shown"></output></label>
<label><input id="found" type="checkbox" checked> boxes found</label>
<label><input id="truth" type="checkbox" checked> ground truth (white)</label>
<label><input id="words" type="checkbox" checked> words</label>
<small>drag: turn; shift + drag: move; wheel: nearer, farther</small></div>
<script id="data" type="application/json">__DATA__</script>
<script>
"use strict";
const $=i=>document.getElementById(i), data=JSON.parse($("data").textContent);
const bytes=s=>Uint8Array.from(atob(s),c=>c.charCodeAt(0));
const place=new Float32Array(bytes(data.points).buffer), shade=bytes(data.shades);
const canvas=$("view"), gl=canvas.getContext("webgl");
if(!gl) $("summary").textContent="This browser offers no WebGL.";
const source=[`attribute vec3 at;attribute vec3 ink;uniform mat4 m;varying vec3 c;
void main(){gl_Position=m*vec4(at,1.);gl_PointSize=clamp(90./gl_Position.w,1.,4.);c=ink;}`,
`precision mediump float;varying vec3 c;void main(){gl_FragColor=vec4(c,1.);}`];
const program=gl.createProgram();
source.forEach((text,n)=>{const s=gl.createShader(n?gl.FRAGMENT_SHADER:gl.VERTEX_SHADER);
 gl.shaderSource(s,text);gl.compileShader(s);gl.attachShader(program,s);});
gl.linkProgram(program);gl.useProgram(program);gl.enable(gl.DEPTH_TEST);
const at=gl.getAttribLocation(program,"at"),ink=gl.getAttribLocation(program,"ink"),
 m=gl.getUniformLocation(program,"m");
gl.enableVertexAttribArray(at);gl.enableVertexAttribArray(ink);
const buffer=v=>{const b=gl.createBuffer();gl.bindBuffer(gl.ARRAY_BUFFER,b);
 gl.bufferData(gl.ARRAY_BUFFER,v,gl.STATIC_DRAW);return b;};
const cloud=[buffer(place),buffer(shade),place.length/3];
let lines=null,yaw=-2.4,pitch=0.6,far=45,aim=[0,0,-1],matrix=null;
function bind(b,type){
 gl.bindBuffer(gl.ARRAY_BUFFER,b[0]);gl.vertexAttribPointer(at,3,gl.FLOAT,false,0,0);
 gl.bindBuffer(gl.ARRAY_BUFFER,b[1]);gl.vertexAttribPointer(ink,3,type,type===gl.UNSIGNED_BYTE,0,0);}
function chosen(){return data.boxes.filter(b=>b.truth?$("truth").checked:
 $("found").checked&&b.score>=+$("least").value);}
function rebuild(){const p=[],c=[];
 for(const b of chosen()){const pair=(u,v)=>{p.push(...u,...v);c.push(...b.ink,...b.ink);};
  for(const [i,j] of data.edges)pair(b.corners[i],b.corners[j]);pair(...b.arrow);}
 lines=[buffer(new Float32Array(p)),buffer(new Float32Array(c)),p.length/3];
 $("shown").textContent=(+$("least").value).toFixed(2);
 const f=data.boxes.filter(b=>!b.truth).length;
 $("summary").textContent=`${place.length/3} points, ${f} boxes found, ${data.boxes.length-f} true`;
 draw();}
const cross=(a,b)=>[a[1]*b[2]-a[2]*b[1],a[2]*b[0]-a[0]*b[2],a[0]*b[1]-a[1]*b[0]],
 dot=(a,b)=>a[0]*b[0]+a[1]*b[1]+a[2]*b[2];
function camera(){
 const d=[Math.cos(pitch)*Math.cos(yaw),Math.cos(pitch)*Math.sin(yaw),Math.sin(pitch)];
 const eye=aim.map((v,k)=>v+far*d[k]),x=[-Math.sin(yaw),Math.cos(yaw),0],y=cross(d,x);
 const f=1.6,a=canvas.width/canvas.height,n=0.2,z=600,A=(z+n)/(n-z);
 return [0,1,2].flatMap(k=>[f/a*x[k],f*y[k],A*d[k],-d[k]]).concat(
  [-f/a*dot(x,eye),-f*dot(y,eye),2*z*n/(n-z)-A*dot(d,eye),dot(d,eye)]);}
function draw(){const r=devicePixelRatio||1;canvas.width=innerWidth*r;canvas.height=innerHeight*r;
 gl.viewport(0,0,canvas.width,canvas.height);gl.clearColor(.07,.07,.08,1);
 gl.clear(gl.COLOR_BUFFER_BIT|gl.DEPTH_BUFFER_BIT);matrix=camera();
 gl.uniformMatrix4fv(m,false,matrix);bind(cloud,gl.UNSIGNED_BYTE);gl.drawArrays(gl.POINTS,0,cloud[2]);
 if(lines&&lines[2]){bind(lines,gl.FLOAT);gl.drawArrays(gl.LINES,0,lines[2]);}
 const out=$("labels");out.textContent="";if(!$("words").checked)return;
 for(const b of chosen())if(!b.truth){const p=b.corners[4].concat(1),
  q=[0,1,3].map(r=>p.reduce((s,v,k)=>s+matrix[k*4+r]*v,0));if(q[2]<=0.2)continue;
  const e=document.createElement("span");e.textContent=b.word;
  e.style.left=(q[0]/q[2]+1)/2*innerWidth+"px";e.style.top=(1-q[1]/q[2])/2*innerHeight+"px";
  e.style.color=`rgb(${b.ink.map(v=>Math.round(255*v))})`;out.append(e);}}
let held=null;
canvas.onpointerdown=e=>{held=[e.clientX,e.clientY];canvas.setPointerCapture(e.pointerId);};
canvas.onpointerup=()=>{held=null;};
canvas.onpointermove=e=>{if(!held)return;const dx=e.clientX-held[0],dy=e.clientY-held[1];
 held=[e.clientX,e.clientY];
 if(e.shiftKey){const k=far/600;aim[0]+=k*(dx*Math.sin(yaw)-dy*Math.cos(yaw));
  aim[1]+=k*(-dx*Math.cos(yaw)-dy*Math.sin(yaw));}
 else{yaw-=dx/200;pitch=Math.min(1.55,Math.max(-.2,pitch+dy/200));}draw();};
canvas.onwheel=e=>{e.preventDefault();
 far=Math.min(300,Math.max(3,far*Math.exp(e.deltaY/800)));draw();};
for(const n of ["least","found","truth","words"])$(n).oninput=rebuild;
addEventListener("resize",draw);rebuild();
</script></html>
"""


def cloud_page(
    title: str,
    points: Float[np.ndarray, "n c"],
    shades: UInt8[np.ndarray, "n 3"],
    boxes: Float[np.ndarray, "k d"],
    colours: UInt8[np.ndarray, "k 3"],
    words: Sequence[str],
    scores: Float[np.ndarray, " k"],
    truth: Float[np.ndarray, "m d"],
    least: float = 0.3,
) -> str:
    """The page. Of more than 200,000 points an even part is kept.  least: score shown at first."""
    step = -(-len(points) // MOST_POINTS)
    kept = np.ascontiguousarray(points[::step, :3], "<f4")

    def entries(group: np.ndarray, **extra: Sequence[Any]) -> list[dict[str, Any]]:
        found = zip(corners(group).round(3), arrows(group).round(3), strict=True)
        return [
            {"corners": box.tolist(), "arrow": arrow.tolist()}
            | {name: values[n] for name, values in extra.items()}
            for n, (box, arrow) in enumerate(found)
        ]

    inks = (colours / 255).round(3).tolist()
    shown = {"word": list(words), "score": scores.round(4).tolist()}
    listed = entries(boxes, ink=inks, truth=[False] * len(boxes), **shown)
    listed += entries(truth, ink=[[1, 1, 1]] * len(truth), truth=[True] * len(truth))
    data = {
        "points": base64.b64encode(kept.tobytes()).decode(),
        "shades": base64.b64encode(np.ascontiguousarray(shades[::step]).tobytes()).decode(),
        "boxes": listed,
        "edges": EDGES,
    }
    page = PAGE.replace("__TITLE__", html.escape(title)).replace("__LEAST__", str(least))
    # "</" would end the script element inside a name.
    return page.replace("__DATA__", json.dumps(data).replace("</", "<\\/"))
